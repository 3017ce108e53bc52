"""Requests about runs and their answers. Bodies are pydantic models; answers are typed dictionaries.

Answers are built from rows that were just read: mypy checks their fields, tests check their values, and they are not
validated again at run time.
"""
