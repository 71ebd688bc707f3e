"""Side by side with the libraries people would otherwise pick.

Same work, same machine, same run, one judge; compile time apart, warm-up, alternating
runs, medians. `make bench` runs all, `python -m benchmarks SLUG` one.
"""
