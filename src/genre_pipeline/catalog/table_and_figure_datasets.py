"""Tables and figures as whole files. They are apart from other entries because what draws takes seconds to import."""

from kedro_datasets.matplotlib import MatplotlibDataset as KedroMatplotlibDataset
from kedro_datasets.pandas import CSVDataset as KedroCSVDataset
from kedro_datasets.pandas import ParquetDataset as KedroParquetDataset
from kedro_datasets.plotly import JSONDataset as KedroPlotlyDataset

from genre_pipeline.catalog.whole_file_datasets import OptionalMixin, WholeFileMixin


class ParquetDataset(WholeFileMixin, KedroParquetDataset):
    """A table as Parquet."""


class CSVDataset(WholeFileMixin, KedroCSVDataset):
    """A table as CSV."""


class OptionalParquetDataset(OptionalMixin, KedroParquetDataset):
    """A table as Parquet, if it is there."""


class PlotlyDataset(WholeFileMixin, KedroPlotlyDataset):
    """A Plotly figure as JSON."""


class MatplotlibDataset(WholeFileMixin, KedroMatplotlibDataset):
    """A Matplotlib figure as a still picture, which is written and never read."""
