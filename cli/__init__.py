"""The command line: a thin layer over the library that reads arguments, calls one function and prints the result."""
