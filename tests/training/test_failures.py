"""Trainings that diverge or do not fit into memory."""

import logging

import pytest
import torch

from genre_pipeline.errors import ConfigError, RepeatFailedError
from genre_pipeline.training import fitting, train_repeat
from genre_pipeline.training.divergence import first_not_finite, watched
from genre_pipeline.training.fitting import Task, _pieces, fit


def run(task):
    return fit(task, lambda record: None)


def weights(fitted):
    return torch.cat([tensor.flatten().float() for tensor in fitted.model.state_dict().values()])


def break_layer(monkeypatch, kind, change, *, at_call):
    """Change what the n-th call of a kind of layer in training puts out."""
    forward = kind.forward
    n_calls = 0

    def broken(layer, *inputs):
        nonlocal n_calls
        output = forward(layer, *inputs)
        if layer.training:
            n_calls += 1
            if n_calls % N_CALLS_AN_EPOCH == at_call % N_CALLS_AN_EPOCH:
                return change(output)
        return output

    monkeypatch.setattr(kind, "forward", broken)


# Three batches of eight, each through the three dense layers of the small net.
N_CALLS_AN_EPOCH = 9


class BreakGradient(torch.autograd.Function):
    """Passes numbers on, and no finite gradient back."""

    @staticmethod
    def forward(ctx, numbers):
        return numbers.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.nan


def test_the_first_broken_output_is_named(make_task, monkeypatch):
    break_layer(monkeypatch, torch.nn.Linear, lambda output: output * torch.nan, at_call=5)
    message = (
        r"demo: the loss of epoch 1, batch 2 of 3 is nan\. First not finite: the output of layer '[\w.]+' \(Linear\), "
        r"in batch 2 of 3\. The training has diverged; lower models\.net\.training\.learning_rate \(now 0\.01\), or "
        r"set precision to float32 \(now float32\)\."
    )
    with pytest.raises(RepeatFailedError, match=message):
        run(make_task())


def test_the_first_broken_gradient_is_named_and_the_batch_before_the_loss(make_task, monkeypatch):
    break_layer(monkeypatch, torch.nn.Linear, BreakGradient.apply, at_call=6)
    message = (
        r"the loss of epoch 1, batch 3 of 3 is nan\. First not finite: the gradient of '[\w.]+', in batch 2 of 3\."
    )
    with pytest.raises(RepeatFailedError, match=message):
        run(make_task())


def test_weights_that_are_driven_out_of_range_are_named(make_task):
    with pytest.raises(
        RepeatFailedError, match=r"First not finite: the weights '.*' after the step, in batch 1 of 3\."
    ):
        run(make_task(optimiser="adamw", learning_rate=1e36, weight_decay=1e3))


def test_a_fault_in_the_validation_alone_is_found_there(make_task, monkeypatch):
    forward = torch.nn.Linear.forward

    def broken(layer, inputs):
        output = forward(layer, inputs)
        return output if layer.training else output * torch.inf

    monkeypatch.setattr(torch.nn.Linear, "forward", broken)
    message = (
        r"the validation loss after epoch 1 is nan\. First not finite: the output of .*\(Linear\), in the validation"
    )
    with pytest.raises(RepeatFailedError, match=message):
        run(make_task())


def test_a_fault_that_does_not_come_again_is_not_made_up(make_task, monkeypatch):
    n_calls = 0
    cross_entropy = torch.nn.functional.cross_entropy

    def once(*arguments, **options):
        nonlocal n_calls
        n_calls += 1
        return cross_entropy(*arguments, **options) * (torch.nan if n_calls == 3 else 1.0)

    monkeypatch.setattr(fitting.functional, "cross_entropy", once)
    with pytest.raises(RepeatFailedError, match=r"First not finite: nothing, in a second try\."):
        run(make_task())


def test_what_a_step_leaves_is_searched_in_the_order_of_computation():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    loss = network(torch.ones(1, 2)).sum()
    loss.backward()
    assert first_not_finite(network, loss) is None
    with torch.no_grad():
        network[0].bias[0] = torch.inf
    assert first_not_finite(network, loss) == "the weights '0.bias' after the step"
    for layer in network:
        layer.weight.grad[0] = torch.nan
    assert first_not_finite(network, loss) == "the gradient of '1.weight'"
    assert first_not_finite(network, loss * torch.nan) == "the loss itself, of finite outputs"


def test_watching_looks_into_tuples_and_ends():
    network = torch.nn.GRU(1, 1)
    inputs = torch.full((1, 1, 1), torch.nan)
    with watched(network) as found:
        network(inputs)
    network(inputs)
    assert found == ["the output of the network"]


class Memory:
    """Makes networks refuse more than a number of segments at once, as a full GPU does."""

    def __init__(self, monkeypatch, kind, limit, from_call=0):
        forward = kind.training_logits
        self.n_calls = 0

        def limited(network, features, targets):
            self.n_calls += 1
            # Something is computed before memory runs out: statistics, random numbers.
            logits = forward(network, features, targets)
            if len(features) > limit and self.n_calls > from_call:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
            return logits

        monkeypatch.setattr(kind, "training_logits", limited)


def network_type(task):
    return type(task.model.spec.build(task.model.architecture, task.train.shape, task.n_classes))


@pytest.mark.parametrize("name", ["net", "crnn"])
def test_out_of_memory_makes_the_pieces_smaller(make_task, monkeypatch, caplog, name):
    task = make_task(name, augmentation={"noise": 0.1})
    asked = run(make_task(name, micro_batch_size=2, augmentation={"noise": 0.1}))
    Memory(monkeypatch, network_type(task), 2)
    forced = run(task)
    assert torch.equal(weights(forced), weights(asked))
    assert (forced.micro_batch_size, asked.micro_batch_size) == (2, 2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.)" in caplog.text
    assert "begins again with micro-batches of 2, whose gradients are summed up to batches of 8" in caplog.text


def test_memory_that_runs_out_later_keeps_the_epochs_before(make_task, monkeypatch):
    task = make_task()
    whole = run(task).history
    Memory(monkeypatch, network_type(task), 4, from_call=7)
    forced = run(task)
    assert [each.train_loss for each in forced.history[:2]] == [each.train_loss for each in whole[:2]]
    assert forced.micro_batch_size == 4


def test_a_segment_that_does_not_fit_fails_the_repeat(arguments, monkeypatch):
    Memory(monkeypatch, network_type(Task("", arguments["model"], None, 3, 0, arguments["train"], None)), 0)
    with pytest.raises(RepeatFailedError, match=r"repeat 1: cpu has not enough memory for a single segment \(CUDA out"):
        train_repeat(**arguments)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weights": "balanced", "label_smoothing": 0.1},
        {"augmentation": {"mixup": 0.5}},
        {"optimiser": "adamw"},
    ],
)
def test_micro_batches_give_the_gradient_of_the_batch(make_task, options):
    """Without batch normalisation and dropout, up to rounding."""
    architecture = {"l2": 0.1, "dropout": 0.0}
    whole, pieces = (step_gradients(make_task, architecture, options | size) for size in ({}, {"micro_batch_size": 3}))
    assert whole.keys() == pieces.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(pieces[name], gradient, rtol=1e-3, atol=1e-5)


def step_gradients(make_task, architecture, options):
    task = make_task(**options)
    task.train.targets[:10] = 0
    block = task.model.architecture
    known = {key: value for key, value in architecture.items() if key in type(block).model_fields}
    block = block.model_copy(update=known)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = task.model.spec.build(block, task.train.shape, task.n_classes)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.eval()
                layer.train = lambda mode=True: None
        loop = fitting._Loop(task, network, torch.device("cpu"))
        torch.manual_seed(1)
        loop.network.train()
        loss, n_right, norm = loop.step(torch.arange(8), 1)
    gradients = {name: each.grad for name, each in network.named_parameters()}
    norms = torch.stack([each.norm() for each in gradients.values()])
    torch.testing.assert_close(norm, norms.norm())
    return gradients | {"loss": loss, "n_right": n_right}


@pytest.mark.parametrize(("n", "size", "lengths"), [(8, 8, [8]), (8, 3, [2, 3, 3]), (5, 1, [1] * 5), (3, 9, [3])])
def test_pieces_cover_a_batch(n, size, lengths):
    assert [piece.stop - piece.start for piece in _pieces(n, size)] == lengths


def test_a_network_that_memory_cannot_hold_is_named_before_it_is_made(make_task, monkeypatch):
    monkeypatch.setattr(fitting, "_memory_bytes", lambda: 1000)
    message = r"models\.net\.architecture: [\d,]+ parameters take about 0 GB to train, and this machine has 0 GB\."
    with pytest.raises(ConfigError, match=message):
        run(make_task())


def test_a_translation_that_fails_in_training_names_the_remedies(make_task, monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def damaged(function):
        def fail(*_):
            raise TorchDynamoException(
                "backend='inductor' raised:\nImportError: main.so: file too short\n\nSet VERBOSE"
            )

        return fail

    monkeypatch.setattr(torch, "compile", damaged)
    expected = r"cannot translate the network \(backend='inductor' raised: .*file too short\).*net\.training\.compile"
    with pytest.raises(RepeatFailedError, match=expected):
        run(make_task("net", compile=True))
