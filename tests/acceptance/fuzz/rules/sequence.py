"""Recurrent layers, attention, wrappers over steps, masks and spectrograms."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.fuzz.draw import Draw
from tests.acceptance.fuzz.rules.base import CHANNELS, Rule, Settings, Shape, inner, some

_UNITS = CHANNELS[2:9]
_CELLS = ("LSTMCell", "GRUCell", "SimpleRNNCell")


def _recurrent(draw: Draw, shape: Shape) -> Settings:
    found: Settings = {"units": draw.one(_UNITS), **some(draw, 0.5, return_sequences=True)}
    found |= some(draw, 0.25, go_backwards=True, use_bias=False)
    return {**found, **some(draw, 0.2, activation=draw.one(("relu6", "sigmoid", "softsign", "gelu")))}


def _lstm(draw: Draw, shape: Shape) -> Settings:
    found = {**_recurrent(draw, shape), **some(draw, 0.15, recurrent_activation="hard_sigmoid", unroll=True)}
    return {**found, **some(draw, 0.15, return_state=True)}


def _gru(draw: Draw, shape: Shape) -> Settings:
    return {**_lstm(draw, shape), **some(draw, 0.3, reset_after=False)}


def _rnn(*cells: str) -> Callable[[Draw, Shape], Settings]:
    """An RNN of these cells, one above the other; of any cell without."""

    def settings(draw: Draw, shape: Shape) -> Settings:
        names = cells or (draw.one(_CELLS),)
        made = [inner(name, units=draw.one(_UNITS)) for name in names]
        cell = made[0] if len(made) == 1 else inner("StackedRNNCells", cells=made)
        return {"cell": cell, **some(draw, 0.5, return_sequences=True), **some(draw, 0.2, go_backwards=True)}

    return settings


def _bidirectional(draw: Draw, shape: Shape) -> Settings:
    settings = {"units": draw.one(_UNITS), **some(draw, 0.5, return_sequences=True)}
    wrapped = inner(draw.one(("LSTM", "GRU", "SimpleRNN")), **settings)
    return {"layer": wrapped, "merge_mode": draw.one(("concat", "sum", "mul", "ave"))}


def _conv_lstm(draw: Draw, shape: Shape) -> Settings | None:
    window = [min(size, draw.number(1, 3)) for size in shape[1:-1]]
    found: Settings = {"filters": draw.number(1, 4), "kernel_size": window, "padding": draw.one(("valid", "same"))}
    found |= some(draw, 0.2, strides=[2] * len(window))
    return {**found, **some(draw, 0.5, return_sequences=True)}


def _time_distributed(draw: Draw, shape: Shape) -> Settings:
    if len(shape) == 4:
        wrapped = draw.one(
            (
                inner("Conv2D", filters=draw.one(_UNITS), kernel_size=min(2, *shape[1:3]), activation="relu"),
                inner("MaxPooling2D", pool_size=min(2, *shape[1:3])),
                inner("Flatten"),
            )
        )
    elif len(shape) == 3:
        wrapped = draw.one((inner("Conv1D", filters=draw.one(_UNITS), kernel_size=1), inner("GlobalMaxPooling1D")))
    else:
        wrapped = inner("Dense", units=draw.one(_UNITS), activation="tanh")
    return {"layer": wrapped}


def _attention(draw: Draw, shape: Shape) -> Settings:
    return {**some(draw, 0.4, use_scale=True), **some(draw, 0.3, score_mode="concat")}


def _heads(draw: Draw, shape: Shape) -> Settings:
    found: Settings = {"num_heads": draw.number(1, 4), "key_dim": draw.number(2, 8)}
    return {**found, **some(draw, 0.3, value_dim=draw.number(2, 6), use_bias=False)}


def _grouped_heads(draw: Draw, shape: Shape) -> Settings:
    keys = draw.number(1, 3)
    found = {
        "head_dim": 2 * draw.number(1, 4),
        "num_key_value_heads": keys,
        "num_query_heads": keys * draw.number(1, 3),
    }
    return {**found, **some(draw, 0.3, use_bias=False)}


def _causal(draw: Draw) -> Settings:
    return some(draw, 0.3, use_causal_mask=True)


def _stft(draw: Draw, shape: Shape) -> Settings | None:
    if shape[0] < 24:
        return None
    length = draw.one((8, 12, 16))
    # Not "angle": it jumps by a whole turn, where rounding decides.
    found: Settings = {"mode": draw.one(("log", "magnitude", "psd", "real", "imag", "stft"))}
    found |= {"frame_length": length, "frame_step": draw.one((4, 5, 8)), "fft_length": draw.one((16, 32))}
    return {**found, **some(draw, 0.4, padding="same", expand_dims=True, window="hamming")}


def _mel(draw: Draw, shape: Shape) -> Settings | None:
    if shape[0] < 48:
        return None
    found: Settings = {"fft_length": 32, "sequence_stride": draw.one((8, 12)), "sequence_length": draw.one((16, 32))}
    return {**found, "sampling_rate": 8000, "num_mel_bins": draw.number(4, 10), "max_freq": 4000.0}


RULES = {
    "LSTM": Rule((2,), _lstm),
    "GRU": Rule((2,), _gru),
    "SimpleRNN": Rule((2,), _recurrent),
    "RNN": Rule((2,), _rnn()),
    **{cell: Rule((2,), _rnn(cell), layer="RNN") for cell in _CELLS},
    "StackedRNNCells": Rule((2,), _rnn("GRUCell", "LSTMCell"), layer="RNN"),
    "Bidirectional": Rule((2,), _bidirectional),
    "ConvLSTM1D": Rule((3,), _conv_lstm),
    "ConvLSTM2D": Rule((4,), _conv_lstm),
    "ConvLSTM3D": Rule((5,), _conv_lstm),
    "TimeDistributed": Rule((2, 3, 4), _time_distributed),
    "Masking": Rule((2,), lambda draw, shape: {"mask_value": 0.0}, values="padded"),
    "Attention": Rule((2,), _attention, alike=(2, 3), as_list=True, options=_causal),
    "AdditiveAttention": Rule(
        (2,), lambda draw, shape: some(draw, 0.4, use_scale=False), alike=(2, 3), as_list=True, options=_causal
    ),
    "MultiHeadAttention": Rule((2,), _heads, alike=(2, 3), options=_causal),
    "GroupQueryAttention": Rule((2,), _grouped_heads, alike=(2, 2), options=_causal),
    "STFTSpectrogram": Rule((2,), _stft, values="signal"),
    "MelSpectrogram": Rule((1,), _mel, values="signal"),
}
