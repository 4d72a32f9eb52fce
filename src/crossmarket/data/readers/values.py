"""Checking and typing the fields of rows, a whole block at a time."""

from __future__ import annotations

from typing import Literal

import polars as pl

from crossmarket.data.accounting import Reason

TimeUnit = Literal["auto", "s", "ms"]

#: Longest id or market name, in UTF-8 bytes.
MAX_ID_BYTES = 256

#: From this size on a number of unknown unit is taken for milliseconds (1973 in milliseconds,
#: the year 5138 in seconds).
_MILLISECONDS_FROM = 1e11

# Years 1 to 9999: outside, a number is no time in any unit on offer (microseconds, for one).
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799

# Control characters, line separators and the invisible marks that reorder text.
_CONTROL = r"[\p{Cc}\x{061C}\x{200E}\x{200F}\x{2028}-\x{202E}\x{2066}-\x{2069}]"

_ISO = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.][0-9]+)?)?"
    r" ?(?:[Zz]|UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?$"
)

_ID_ROLES = ("market", "user", "item")


def check_rows(
    rows: pl.DataFrame, *, min_weight: float | None, time_unit: TimeUnit
) -> pl.DataFrame:
    """Type the fields of rows and give a reason to every row that cannot be used.

    Parameters
    ----------
    rows : polars.DataFrame
        `market`, `user`, `item` (String); optionally `weight` and `timestamp` (String, numbers or
        temporal); `reason` (String), set where a row is already known to be broken.
    min_weight : float, optional
        Rows under this weight get `Reason.BELOW_MIN_WEIGHT`.
    time_unit : {'auto', 's', 'ms'}
        Unit of numeric times; 'auto' decides for each number by its size.

    Returns
    -------
    The rows with `weight` (Float32), `timestamp` (Int64 seconds, null where unknown) and `reason`.
    """
    weights, bad_weight = _weights(rows)
    times, bad_time = _timestamps(rows, time_unit)
    ids = [pl.col(role) for role in _ID_ROLES]
    low = pl.lit(False)
    if min_weight is not None:
        # Both sides in single precision: a stored 0.7 is not below a threshold of 0.7.
        low = pl.col("weight") < pl.lit(min_weight, dtype=pl.Float32)
    return rows.with_columns(weights, times).with_columns(
        pl.when(pl.col("reason").is_not_null())
        .then(pl.col("reason"))
        .when(pl.any_horizontal(column.is_null() | (column == "") for column in ids))
        .then(pl.lit(Reason.EMPTY_ID.value))
        .when(pl.any_horizontal(column.str.len_bytes() > MAX_ID_BYTES for column in ids))
        .then(pl.lit(Reason.ID_TOO_LONG.value))
        .when(pl.any_horizontal(column.str.contains(_CONTROL) for column in ids))
        .then(pl.lit(Reason.CONTROL_CHAR.value))
        .when(bad_weight)
        .then(pl.lit(Reason.BAD_WEIGHT.value))
        .when(bad_time)
        .then(pl.lit(Reason.BAD_TIMESTAMP.value))
        .when(low)
        .then(pl.lit(Reason.BELOW_MIN_WEIGHT.value))
        .alias("reason")
    )


def _weights(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Weights (Float32) and where they are unusable."""
    if "weight" not in rows.columns:
        ones = pl.repeat(1.0, len(rows), dtype=pl.Float32, eager=True).alias("weight")
        return ones, pl.repeat(False, len(rows), eager=True)
    values = rows["weight"]
    if not values.dtype.is_numeric():
        values = values.cast(pl.String).str.strip_chars(" ")
    weights = values.cast(pl.Float64, strict=False).cast(pl.Float32)
    usable = weights.is_finite() & (weights >= 0)
    # A negative zero becomes zero, so that merging does not depend on the order of rows.
    return weights.abs().alias("weight"), ~usable.fill_null(False)


def _timestamps(rows: pl.DataFrame, unit: TimeUnit) -> tuple[pl.Series, pl.Series]:
    """Times (Int64 seconds, null where unknown or unusable) and where they are unusable."""
    if "timestamp" not in rows.columns:
        unknown = pl.repeat(None, len(rows), dtype=pl.Int64, eager=True).alias("timestamp")
        return unknown, pl.repeat(False, len(rows), eager=True)
    values = rows["timestamp"]
    if values.dtype.is_temporal():
        seconds = _temporal_seconds(values)
    elif values.dtype.is_numeric():
        seconds = _numeric_seconds(values, unit)
    else:
        values = values.cast(pl.String).str.strip_chars(" ").replace("", None)
        seconds = _numeric_seconds(values.cast(pl.Float64, strict=False), unit)
        if seconds.null_count() > values.null_count():
            seconds = seconds.zip_with(seconds.is_not_null(), _iso_seconds(values))
    inside = seconds.is_between(_FIRST_SECOND, _LAST_SECOND).fill_null(False)
    seconds = seconds.to_frame("timestamp").select(
        pl.when(inside).then(pl.col("timestamp")).otherwise(None)
    )["timestamp"]
    return seconds, seconds.is_null() & values.is_not_null()


def _temporal_seconds(values: pl.Series) -> pl.Series:
    if values.dtype not in (pl.Date, pl.Datetime):
        return pl.repeat(None, len(values), dtype=pl.Int64, eager=True)
    return values.cast(pl.Datetime("us")).dt.epoch("s")


def _numeric_seconds(values: pl.Series, unit: TimeUnit) -> pl.Series:
    number = pl.col("x")
    milliseconds = {
        "s": pl.lit(False),
        "ms": pl.lit(True),
        "auto": number.abs() >= _MILLISECONDS_FROM,
    }[unit]
    scaled = pl.when(milliseconds).then(number / 1000).otherwise(number).floor()
    frame = values.cast(pl.Float64).to_frame("x")
    return frame.select(scaled.cast(pl.Int64, strict=False))["x"]


def _iso_seconds(values: pl.Series) -> pl.Series:
    """Seconds of ISO 8601 dates and times; a time without a zone is UTC."""
    names = ["date", "hour", "minute", "second", "sign", "zone_hour", "zone_minute"]
    groups = values.str.extract_groups(_ISO).struct.rename_fields(names).struct.unnest()
    hour, minute, second, zone_hour, zone_minute = (
        pl.col(name).cast(pl.Int64).fill_null(0)
        for name in ("hour", "minute", "second", "zone_hour", "zone_minute")
    )
    day = pl.col("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    zone = (zone_hour * 60 + zone_minute) * 60
    seconds = day * 86_400 + hour * 3600 + minute * 60 + second
    seconds = seconds - pl.when(pl.col("sign") == "-").then(-zone).otherwise(zone)
    on_the_clock = (hour < 24) & (minute < 60) & (second < 60) & (zone_hour < 24)
    valid = on_the_clock & (zone_minute < 60)
    return groups.select(pl.when(valid).then(seconds).alias("seconds"))["seconds"]
