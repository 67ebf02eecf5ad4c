"""Thresholds of validity. Each stands with its source in README.md beside this file; a test keeps the two in step."""

from __future__ import annotations

# what is in the records
TOKEN_COUNT_SHARE = 0.01  # above this share of requests with another token count: SUSPECT
TOKEN_COUNT_DEVIATION = 0.10  # above this relative deviation of the summed lengths: INVALID
PERCENTILES_WANTED = (("time_to_first_token", "p95"),)  # besides those that objectives name

UNUSABLE_SHARE = 0.33  # of the repetitions of one arm of a gate: above it the arm is INVALID, below they are left out

# the schedule of an open loop
SCHEDULE_LAG_MS = 5.0  # p99 of sent - intended above the larger of this …
SCHEDULE_LAG_SHARE = 0.05  # … and this share of the median time to first token: SUSPECT
SCHEDULE_LAG_INVALID = 10.0  # above that limit times this: INVALID
LATE_ARRIVAL_MS = 100.0  # an arrival is late when sent later than the larger of this and the median time to first token
LATE_SHARE_SUSPECT = 0.001
LATE_SHARE_INVALID = 0.01
ARRIVAL_DISTANCE = 0.05  # Kolmogorov-Smirnov distance (constant arrivals: share of odd gaps) that matters
ARRIVAL_P_VALUE = 0.001  # … if it is also this improbable
ARRIVAL_DRIFT = 0.05  # arrivals counted against expected, as a share of all, for constant arrivals
FEWEST_GAPS = 50

# the load generator itself
CLIENT_CPU_SUSPECT = 0.80  # of one core per worker
CLIENT_CPU_INVALID = 0.95
CLIENT_LOAD_SUSPECT = 0.80  # of the calibrated ceiling
CLIENT_LOAD_INVALID = 0.95
LOOP_LAG_MS = 5.0  # p99 of the event loop's lag above the larger of this …
LOOP_LAG_SHARE = 0.05  # … and this share of the median time to first token: SUSPECT
LOOP_LAG_INVALID_MS = 100.0  # p99 above the larger of this and the median time to first token: INVALID
STANDSTILL_SUSPECT_MS = 250.0  # longest single standstill of the event loop
STANDSTILL_INVALID_MS = 1000.0

# asked against achieved
ACHIEVED_DEVIATION = 0.05  # of concurrency or rate
RATE_SIGMAS = 4.0  # a drawn rate may differ from the named one by this many standard deviations
LITTLE_DEVIATION = 0.05
SERVER_MORE_SHARE = 0.10  # requests the server counts beyond ours
SERVER_MORE_REQUESTS = 1.0
SERVER_LESS_SHARE = 0.50  # share of ours that the server does not know of
SERVER_LESS_REQUESTS = 2.0
FEWEST_SAMPLES = 5  # of a gauge in the window

# steady state
STEADY_SHIFT = 0.15  # relative difference of level before and after MSER-5's cut
STEADY_SIGNIFICANCE = 4.0  # … in standard errors
GROWTH_SHARE = 0.25  # lower bound of the rise of in-flight over the window, relative to its mean
GROWTH_DEVIATIONS = 3.0  # … and in Poisson standard deviations of the mean
STEADY_INTERVALS = 100  # the window is cut into this many, or fewer so that each holds REQUESTS_PER_INTERVAL
REQUESTS_PER_INTERVAL = 5

# reuse of the KV cache
REUSED_SHARE = 0.01  # of prompts that occur twice, or of prompt tokens that the server did not compute

# hardware
THROTTLED_SHARE = 0.01  # of the window, by heat or power brake
POWER_CAPPED_SHARE = 0.10  # of the window, by the power limit
