"""The log on disk and in memory: two implementations of the `RecordLog` of `ports.py`."""
