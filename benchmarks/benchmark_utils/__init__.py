"""What objective, data sets, solvers and `measure.py` share."""
