"""One measurement a file, each a function of plain arguments that prints a Markdown table; `measure.py` calls them."""
