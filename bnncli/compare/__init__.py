"""Fair comparisons: a matrix of methods, data sets and seeds under one budget."""
