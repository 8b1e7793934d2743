"""Values other than strings, and what is common to them: ordering for SCAN, numbers as Redis reads and prints them, patterns.

A string is `bytes` (or, while it is being edited in place, a `Buffer`); each other type is one class with a `type_name`.
"""
