"""What errors mean, in tables: data for `languages` and `sandbox`."""
