"""`labelgraph serve`: a trained model behind HTTP, JSON in and JSON out.

A request's texts are tokenised (`scoring`), wait by their length (`queues`), and are
scored together in a few fixed shapes (`shapes`), all of them compiled before the
service says that it is ready (`service`). `app` holds the addresses, `asking` what may
be asked, `guard` and `protocol` what keeps one client from stopping the others, and
`server` the beginning and the end.
"""
