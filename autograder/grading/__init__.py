"""nbgrader with Shipyard's checks: two lines in nbgrader_config.py.

    from autograder.grading import plug_in
    plug_in(get_config())

`nbgrader autograde`, Formgrader's button and `shipyard grade` then do the same.
"""

from autograder.grading.plugging import plug_in

__all__ = ["plug_in"]
