"""A fabricated experiment: a dataset of empty files, and steps that are recorded as if they had run."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from genre_pipeline.audio import AudioFacts
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.datasets.reading.files import list_files
from genre_pipeline.ingest import inspections
from genre_pipeline.ops.refresh.graph import Entry, Graph, Source, Step
from genre_pipeline.ops.refresh.records import Recorder

METADATA = ("genre", "artist", "title", "album")


def fake_facts(path):
    """What inspection would say, without decoding: the content is the file's text."""
    content = Path(path).read_bytes()
    return AudioFacts(n_bytes=len(content), content_hash=inspections_hash(content), audio_hash=content.hex())


def inspections_hash(content):
    import hashlib

    return hashlib.md5(content).hexdigest()


@dataclass
class Project:
    """A data folder with one dataset, and the steps ingest, split, segment, train, compare.

    Attributes:
        folder: The data folder.
        graph: The steps.
    """

    folder: Path
    graph: Graph

    @property
    def music(self):
        return self.folder / "music"

    def write(self, path, content="", *, mtime_ns=None):
        import os

        file = self.music / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content or path)
        if mtime_ns is not None:
            os.utime(file, ns=(mtime_ns, mtime_ns))

    def describe(self, *lines):
        (self.music / "metadata.csv").write_text("\n".join(["path,genre,artist,title", *lines]) + "\n")

    def change(self, name, **values):
        """Declare a step anew."""
        steps = [step.model_copy(update=values) if step.name == name else step for step in self.graph.steps]
        self.graph = self.graph.model_copy(update={"steps": tuple(steps)})
        self.graph.__dict__.pop("by_name", None)
        self.graph.__dict__.pop("producers", None)

    def run(self, *names, **contents):
        """Record steps as run, all or some; contents of entries may be given."""
        recorder = Recorder()
        for step in self.graph.steps:
            if names and step.name not in names:
                continue
            recorder.begin(step, self.graph.entries)
            results = self._ingest(step) if step.source else {entry: {"made": entry} for entry in step.outputs}
            for entry, content in {**results, **{key: contents[key] for key in results.keys() & contents}}.items():
                path = self.graph.entries[entry].path
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, pd.DataFrame):
                    content.to_parquet(path)
                else:
                    path.write_text(str(content))
                recorder.saved(step.name, entry, content)

    def _ingest(self, step):
        block = DatasetBlock.model_validate(step.source.parameters)
        clips = DATASETS["folder"].find_clips(block).clips
        stamps, _ = list_files(self.music)
        found = inspections.inspect_files(
            self.music,
            [clip.path for clip in clips],
            stamps=stamps,
            cache=step.source.cache,
            n_workers=1,
            description="",
        )
        columns = {name: [getattr(clip, name) for clip in clips] for name in ("track_id", "path", *METADATA)}
        tracks = pd.DataFrame(columns).astype("string")
        tracks["content_hash"] = found.facts["content_hash"].astype("string")
        tracks["audio_hash"] = found.facts["audio_hash"].astype("string")
        quality = {"subset": {"name": ""}, "genres": sorted(set(tracks["genre"])), "n_inspected": found.n_inspected}
        return {"d.tracks": tracks, "d.quality": quality}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three tracks, and nothing run."""
    monkeypatch.setattr(inspections, "inspect_audio", fake_facts)
    block = DatasetBlock(kind="folder", path=tmp_path / "music")
    entry = {
        name: Entry(path=tmp_path / "results" / f"{name}.file")
        for name in ("d.tracks", "d.split", "d.segments", "d.model", "board", "d.card")
    }
    entry["d.quality"] = Entry(path=tmp_path / "results" / "quality.json", volatile=("n_inspected",))
    source = Source(
        dataset="d",
        kind="folder",
        parameters=block.dump(),
        cache=tmp_path / "cache.parquet",
        tracks="d.tracks",
        quality="d.quality",
    )
    steps = (
        Step(name="d.ingest", versions={"ingest": 1}, outputs=("d.tracks", "d.quality"), source=source),
        Step(name="d.card", versions={"card": 1}, inputs={"d.tracks": None, "d.quality": None}, outputs=("d.card",)),
        Step(
            name="d.split",
            versions={"split": 1},
            parameters={"protocols.p": {"seed": 0}},
            inputs={"d.tracks": ("track_id", "genre", "artist"), "d.quality": ("subset",)},
            outputs=("d.split",),
        ),
        Step(
            name="d.segment",
            versions={"segment": 1},
            inputs={"d.tracks": ("track_id", "audio_hash")},
            outputs=("d.segments",),
        ),
        Step(
            name="d.p.f.m.train",
            versions={"train": 1},
            parameters={"models.m": {"rate": 0.1, "layers": [1, 2]}},
            inputs={"d.split": None, "d.segments": None},
            outputs=("d.model",),
        ),
        Step(name="compare", versions={"compare": 1}, inputs={"d.model": None}, outputs=("board",)),
    )
    made = Project(tmp_path, Graph(key="k", steps=steps, entries=entry))
    for path in ("jazz/a.wav", "jazz/b.wav", "rock/c.wav"):
        made.write(path)
    made.describe("jazz/a.wav,,Ann,One", "jazz/b.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
    return made


@pytest.fixture
def finished(project):
    """Three tracks, and everything run."""
    project.run()
    return project
