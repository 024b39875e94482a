"""The papers, and which files of presets are theirs; all other files share one page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper, or another source of presets.

    Attributes:
        name: Name of its page.
        title: Heading of its page.
        files: Files of presets in ``conf/base/parameters/models``, without their ending.
        figures: Short names in ``published.csv``.
        citation: The paper.
        code: What code its authors published, and the licence of that; empty where there is no paper.
        experiments: The experiments that repeat it.
        timed: The preset that stands for its networks, and how many segments of it two cores train on per second, in
            float32 (docs/performance.md); ``None`` where no experiment is costed.
        measured: What of it was measured here.
        needed: What the rest needs.
    """

    name: str
    title: str
    files: tuple[str, ...]
    figures: tuple[str, ...]
    citation: str
    code: str
    experiments: tuple[str, ...] = ()
    timed: tuple[str, float] | None = None
    measured: str = ""
    needed: str = ""


PAPERS = (
    Paper(
        name="lgnet",
        title="LGNet and its baselines",
        files=("lgnet", "naive_bayes", "svm"),
        figures=("lgnet",),
        citation="Locally Activated Gated Neural Network for Automatic Music Genre Classification, Applied Sciences "
        "13(8), 2023, article 5010",
        code="None was found. The split's lists are published under the MIT licence (jongpillee/music_dataset_split).",
        experiments=("paper_lgnet",),
        timed=("lgnet_4", 19.9),
        measured="`lgnet_4` for 8 of its 300 epochs with three seeds on six of the ten genres, 50.9 ± 5.1 % of the "
        "tracks of the validation list ([results](../results.md#real-music-lgnet-shortened)), where `svm` reaches 55.9 "
        "and `naive_bayes` 51.2 %; every other variant of its tables and ResNet once, for 8 epochs, 32 to 57 % "
        "([results](../results.md#real-music-what-the-papers-splits-are-worth-shortened)). Nothing ran on all ten "
        "genres, at full length, or on the test list.",
        needed="GTZAN's 1000 clips and a GPU. The paper's best row alone (`experiment.models=[lgnet_4]`, "
        "`experiment.features.lgnet_4=[log_mel_30ms]`) is 5 trainings.",
    ),
    Paper(
        name="broadcast",
        title="Broadcast networks: BBNN, its variants, and the 4-block network",
        files=("broadcast",),
        figures=("bbnn", "broadcast"),
        citation="C. Liu, L. Feng, G. Liu, H. Wang and S. Liu, Bottom-up broadcast neural network for music genre "
        "classification, Multimedia Tools and Applications 80, 2021 (BBNN); A. Heakl, A. Abdelgawad and V. Parque, A "
        "Study on Broadcast Networks for Music Genre Classification, IJCNN 2022",
        code="Notebooks of both (CaifengLiu/music-genre-classification; ahmedheakl/Study-on-Broadcast-Networks-for-"
        "Music-Genre-Classification), neither with a licence. Facts were read from them; no code was taken.",
        experiments=("paper_broadcast",),
        timed=("bbnn", 2.66),
        measured="On real music only BBNN and the 4-block network, on 1500 parts of 3 s, too few: 40 and 35 % on "
        "random tracks, 18 and 26 % with artists apart "
        "([results](../results.md#real-music-what-the-papers-splits-are-worth-shortened)).",
        needed="The four datasets and a GPU. `experiment.protocols=[random_track]` halves it, "
        "`experiment.models=[bbnn,broadcast_ours]` leaves Table II.",
    ),
    Paper(
        name="duplicated_convolutions",
        title="Duplicated convolutions: net1, net2, and the compared nnet1 and nnet2",
        files=("net1", "net2", "nnet"),
        figures=("duplicated_convolutions",),
        citation="H. Yang and W.-Q. Zhang, Music Genre Classification Using Duplicated Convolutional Layers in Neural "
        "Networks, Interspeech 2019; nnet1 and nnet2: W. Zhang, W. Lei, X. Xu and X. Xing, Interspeech 2016",
        code="None was found.",
        experiments=("paper_duplicated_convolutions",),
        timed=("net1", 207.0),
        measured="On six of the ten genres with artists apart, 15 and 8 epochs, and frames padded to 2048 points: net1 "
        "53.0 ± 10.9 % and net2 47.9 ± 7.5 % of tracks "
        "([results](../results.md#real-music-models-robustness-and-the-protocol-gap)). Shortened, once each: on "
        "a split like the paper's nnet1 85.0, nnet2 75.0, net1 72.5 and net2 70.0 %, with artists apart 44 to 53 % "
        "([results](../results.md#real-music-what-the-papers-splits-are-worth-shortened)).",
        needed="GTZAN's 1000 clips and three days of two cores, 11 hours per cell.",
    ),
    Paper(
        name="musicnext",
        title="MusicNeXt and its baselines",
        files=("musicnext",),
        figures=("musicnext",),
        citation="MusicNeXt, Intelligent Data Analysis, 2024 (IDA-230428)",
        code="None was found. What it builds on is under the MIT licence: facebookresearch/ConvNeXt and "
        "wy1iu/LargeMargin_Softmax_Loss. No code was taken from either.",
        experiments=("paper_musicnext", "paper_musicnext_figures"),
        timed=("musicnext", 6.36),
        measured="Nothing on real music. At a sixth of its widths, on synthetic music, it trains without "
        "normalisation ([ambiguities](ambiguities.md#does-it-train-without-normalisation)).",
        needed="The three datasets and a GPU. On GTZAN, a cell takes two cores 13 hours on average.",
    ),
    Paper(
        name="crnn",
        title="CRNN with a GRU or an LSTM",
        files=("crnn_gru", "crnn_lstm", "crnn_gru_small"),
        figures=("crnn",),
        citation="E. Paesano and G. Pizzuti, Music genre recognition, NAML report, Politecnico di Milano 2023",
        code="None was found of the network; its preprocessing is SLAPP's (MIT licence), of which no code was taken.",
        experiments=("paper_crnn",),
        timed=("crnn_gru", 193.0),
        measured="On six of the ten genres with artists apart, `crnn_gru` reaches 64.7 ± 10.2 % of tracks and 59.1 % "
        "of segments ([results](../results.md#real-music-six-genres-of-gtzan-artists-kept-apart)). Shortened, "
        "it has 68 % of segments where tracks are on both sides, 53 where artists are, and 35 with artists apart "
        "([results](../results.md#real-music-what-the-papers-splits-are-worth-shortened)).",
        needed="GTZAN's 1000 clips and an hour and a half of two cores.",
    ),
    Paper(
        name="probes",
        title="Probes of encoders",
        files=("linear_probe", "probes"),
        figures=("musicnn", "jukemir", "encoders"),
        citation="G. Alain and Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR 2017 "
        "workshop",
        code="Figures are of jordipons/sklearn-audio-transfer-learning (ISC licence) and of R. Castellon, C. Donahue "
        "and P. Liang, ISMIR 2021. No code was taken from either.",
    ),
    Paper(
        name="musicnn",
        title="musicnn, trained further",
        files=("musicnn",),
        figures=(),
        citation="J. Pons and X. Serra, musicnn: Pre-trained convolutional neural networks for music audio tagging, "
        "ISMIR late-breaking demo 2019; J. Howard and S. Ruder, Universal Language Model Fine-tuning for Text "
        "Classification, ACL 2018 (step sizes that fall from layer to layer)",
        code="jordipons/musicnn (ISC licence), whose weights and network are read from its wheel.",
    ),
    Paper(
        name="beyond",
        title="Beyond the papers",
        files=("recommended", "short_chunk"),
        figures=(),
        citation="Short-chunk network: M. Won, A. Ferraro, D. Bogdanov and X. Serra, Evaluation of CNN-based Automatic "
        "Music Tagging Models, SMC 2020",
        code="Ours alone.",
    ),
)

OTHERS = Paper(
    name="others",
    title="Other models",
    files=(),
    figures=(),
    citation="Models whose file is not listed with a paper",
    code="",
)
"""The page of every file of presets that no paper names; it is there where there is such a file."""
