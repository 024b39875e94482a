"""What the loaders of datasets share: folders, tables, archives, downloads and published lists."""
