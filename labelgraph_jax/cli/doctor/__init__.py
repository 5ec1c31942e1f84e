"""`labelgraph doctor`: will a run on this machine, or on these processes, work?"""

from labelgraph_jax.cli.doctor.examination import Examination, end_together, examine
from labelgraph_jax.cli.doctor.tables import print_examination

__all__ = ["Examination", "end_together", "examine", "print_examination"]
