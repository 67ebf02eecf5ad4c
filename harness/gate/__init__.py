"""Is the candidate slower than the baseline? The rule, its statistics, what may be compared, and the verdict.

Pure: values in, a `Verdict` out. The loops that measure pairs are campaigns; drawing a verdict is the report's work.
"""
