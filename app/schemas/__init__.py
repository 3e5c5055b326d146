"""What goes in and what comes out, as pydantic models: the source of validation and of OpenAPI.

Requests are validated by these models. Answers are built as plain dicts by :mod:`app.answers` and are not
validated again on the way out; the tests hold real answers against these models.
"""
