"""VAMANA.*: what an index costs, what recall it gives, and what other compressions would."""
