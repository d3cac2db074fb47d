"""The parts of the benchmark; a module a part. Each has PART, and `measure`, for a contestant's process."""
