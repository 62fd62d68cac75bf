"""Attacks on grading, one family a module; test_attacks.py hands them in and looks at what they got."""
