"""Trends in measured series: POST a CSV with a time and a value column, get its trend with how sure one can be of it.

Theil and Sen's slope and the Mann-Kendall test: what climate research uses for series with gaps and outliers.
"""
import csv
import io
import json
import math
import statistics
from itertools import combinations


def handler(event, context):
    text = event.get("body") or ""
    try:
        times, values = read_series(text)
    except ValueError as error:
        return {"statusCode": 400, "body": json.dumps({"error": str(error)})}
    print(f"{len(values)} values, {context.get_remaining_time_in_millis()} ms left")
    return {"statusCode": 200, "body": json.dumps(trend_of(times, values))}


def read_series(text):
    rows = list(csv.reader(io.StringIO(text)))
    points = []
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and not is_number(row[0])):
            continue
        if len(row) < 2 or not is_number(row[0]):
            raise ValueError(f"line {number} is not a time and a value: {','.join(row)[:60]}")
        # A missing value is a gap, not a zero.
        if is_number(row[1]):
            points.append((float(row[0]), float(row[1])))
    if len(points) < 4:
        raise ValueError(f"a trend needs at least 4 values, and there are {len(points)}")
    points.sort()
    return [time for time, _ in points], [value for _, value in points]


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def trend_of(times, values):
    pairs = list(combinations(range(len(values)), 2))
    slope = statistics.median((values[b] - values[a]) / (times[b] - times[a]) for a, b in pairs if times[b] != times[a])
    score = sum((values[b] > values[a]) - (values[b] < values[a]) for a, b in pairs)
    n = len(values)
    ties = [values.count(value) for value in set(values)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18
    z = 0.0 if variance == 0 else (score - (score > 0) + (score < 0)) / math.sqrt(variance)
    probability = math.erfc(abs(z) / math.sqrt(2))
    return {
        "values": n,
        "mean": round(statistics.fmean(values), 4),
        "slopePerUnit": round(slope, 6),
        "p": round(probability, 6),
        "trend": "none" if probability > 0.05 else "rising" if slope > 0 else "falling",
    }
