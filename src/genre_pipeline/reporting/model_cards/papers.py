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
        experiment: The experiment that repeats it; empty if there is none.
    """

    name: str
    title: str
    files: tuple[str, ...]
    figures: tuple[str, ...]
    citation: str
    code: str
    experiment: str = ""


PAPERS = (
    Paper(
        name="lgnet",
        title="LGNet and its baselines",
        files=("lgnet", "naive_bayes", "svm"),
        figures=("lgnet",),
        citation="Locally Activated Gated Neural Network for Automatic Music Genre Classification, Applied Sciences "
        "13(8), 2023, article 5010",
        code="None was found. The split's lists are published under the MIT licence (jongpillee/music_dataset_split).",
        experiment="paper_lgnet",
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
        experiment="paper_broadcast",
    ),
    Paper(
        name="duplicated_convolutions",
        title="Duplicated convolutions: net1, net2, and the compared nnet1 and nnet2",
        files=("net1", "net2", "nnet"),
        figures=("duplicated_convolutions",),
        citation="H. Yang and W.-Q. Zhang, Music Genre Classification Using Duplicated Convolutional Layers in Neural "
        "Networks, Interspeech 2019; nnet1 and nnet2: W. Zhang, W. Lei, X. Xu and X. Xing, Interspeech 2016",
        code="None was found.",
        experiment="paper_duplicated_convolutions",
    ),
    Paper(
        name="musicnext",
        title="MusicNeXt and its baselines",
        files=("musicnext",),
        figures=("musicnext",),
        citation="MusicNeXt, Intelligent Data Analysis, 2024 (IDA-230428)",
        code="None was found. What it builds on is under the MIT licence: facebookresearch/ConvNeXt and "
        "wy1iu/LargeMargin_Softmax_Loss. No code was taken from either.",
        experiment="paper_musicnext",
    ),
    Paper(
        name="crnn",
        title="CRNN with a GRU or an LSTM",
        files=("crnn_gru", "crnn_lstm", "crnn_gru_small"),
        figures=("crnn",),
        citation="E. Paesano and G. Pizzuti, Music genre recognition, NAML report, Politecnico di Milano 2023",
        code="None was found of the network; its preprocessing is SLAPP's (MIT licence), of which no code was taken.",
        experiment="paper_crnn",
    ),
    Paper(
        name="probes",
        title="Probes of encoders",
        files=("linear_probe", "probes"),
        figures=("musicnn", "jukemir"),
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
