"""The tests of cn-ops."""
