"""Updates at any time made datapoints of the step grid; and where each series stands."""
