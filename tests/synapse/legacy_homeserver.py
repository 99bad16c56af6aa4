"""`python -m synapse.app.homeserver` for releases that are older than the Python they run on.

Releases up to 1.17 use names that Python 3.10 and 3.11 dropped. They are given back here, for this
process alone; Synapse itself is as it was released.
"""

import collections
import collections.abc
import inspect
import runpy

for name in collections.abc.__all__:
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

if not hasattr(inspect, "getargspec"):
    ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = lambda function: ArgSpec(*inspect.getfullargspec(function)[:4])

runpy.run_module("synapse.app.homeserver", run_name="__main__", alter_sys=True)
