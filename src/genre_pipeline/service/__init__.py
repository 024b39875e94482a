"""The HTTP service: ``genre-pipeline serve``.

``command`` starts it, ``gate`` refuses what is too much, ``app`` answers, ``offers`` knows which models there are,
``workers`` keeps the processes that decode and classify, and ``answering`` is what they do.
"""
