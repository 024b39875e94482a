"""Shared by the loaders of datasets: folders, tables, archives, downloads and published lists."""
