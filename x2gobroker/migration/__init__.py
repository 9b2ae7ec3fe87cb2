"""Taking a site from Debian's x2gobroker 0.0.4.3 to this broker, and back.

`reader.py` reads files below a root folder, `site.py` has what a site is, `survey.py` reads it (`apache.py` and
`units.py` their parts of it). `obstacles.py` and `differences.py` say what is in the way and what will be different for
whom, `plan.py` what is to be done: steps, which are commands. `runner.py` runs them, `journal.py` remembers how to undo
them, `carry_out.py` puts the two together. Nothing above `runner.py` changes anything.
"""
