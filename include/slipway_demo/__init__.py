"""The demo collection ``pydocs``: the API documentation of the installed packages, as two embedded sources.

The way of a docstring:

    scope       which packages are read, and which of their names count as public
    modules     finds the source files of an installed package, importing nothing
    outline     parses one file into an outline: definitions, imports, docstrings
    cython      turns Cython source into Python that ``outline`` can parse
    newdocs     docstrings written outside the object they describe (``add_newdoc`` and kin)
    publicnames the path under which a user meets each definition
    docstrings  the rows of the ``api`` source: functions, classes, methods, properties
    guides      the rows of the ``guides`` source: module docstrings and shipped prose
    abridge     the one rule by which long docstrings are cut
    fill        writes both sources; the only module a caller needs

``static`` makes a second, smaller model for it without a download.
"""
