"""Tests that need eight devices: they run in a process of their own.

An ordinary run of pytest has one device, and starts these tests in a second process
(tests/test_devices.py). By hand: LABELGRAPH_TEST_DEVICES=8 pytest tests/devices
"""
