"""Writes reference.json: what torchaudio makes of one short signal, in float64, and the standard library's G.711 tables.

Run with Python 3.12 or older (audioop) and torchaudio: python3 make-reference.py. The signal is 0.2 s at 8 kHz: a rising tone with
noise, silence, and a loud end, in whole 16-bit steps, so that every program reads the same numbers.
"""
import audioop
import json
import math
import pathlib
import random
import struct

import torch
import torchaudio
from torchaudio.compliance import kaldi

RATE = 8000
torch.set_default_dtype(torch.float64)

rng = random.Random(4)
samples = []
for i in range(1600):
    t = i / RATE
    tone = math.sin(2 * math.pi * (200 * t + 8000 * t * t)) + 0.3 * rng.gauss(0, 1)
    loudness = 0 if 700 <= i < 1000 else 20000 if i > 1300 else 3000
    samples.append(max(-32768, min(32767, round(loudness * tone))))
wave = torch.tensor(samples, dtype=torch.float64).unsqueeze(0) / 32768

# What torchaudio takes as the smallest energy, in float64 too.
FLOOR = torch.finfo(torch.float32).eps
COMMON = dict(sample_frequency=RATE, dither=0.0, remove_dc_offset=False, energy_floor=0.0)


def rounded(values):
    return [[float(f"{v:.12g}") for v in row] for row in values.tolist()]


fbank = kaldi.fbank(wave, num_mel_bins=40, window_type="povey", **COMMON)
plain = kaldi.fbank(
    wave, num_mel_bins=20, window_type="hanning", preemphasis_coefficient=0.0,
    frame_length=20, frame_shift=15, low_freq=100, high_freq=3500, **COMMON,
)
mfcc = kaldi.mfcc(wave, num_mel_bins=26, num_ceps=13, window_type="hamming", cepstral_lifter=22, **COMMON)


def slaney(norm, mels):
    spectrogram = torchaudio.transforms.MelSpectrogram(
        sample_rate=RATE, n_fft=256, hop_length=80, f_min=20, n_mels=mels, center=False, power=2,
        window_fn=torch.hann_window, wkwargs={"periodic": False}, norm=norm, mel_scale="slaney",
    )
    return torch.log(spectrogram(wave)[0].T.clamp(min=1e-10))


def deltas(rows):
    """Slopes of the frames, behind four more that equal the first one."""
    padded = torch.cat([rows[:1].repeat(4, 1), rows]).T
    return torchaudio.functional.compute_deltas(padded, win_length=5, mode="replicate").T


once = deltas(mfcc)
mfcc_options = dict(features="mfcc", window="hamming", floor=FLOOR)
cases = [
    dict(name="kaldi.fbank", options=dict(features="logMel", window="povey", floor=FLOOR), rows=rounded(fbank)),
    dict(
        name="kaldi.fbank, no pre-emphasis, a band, other frames",
        options=dict(
            features="logMel", window="hann", preEmphasis=0, mels=20, frameMs=20, hopMs=15, lowHz=100, highHz=3500, floor=FLOOR
        ),
        rows=rounded(plain),
    ),
    dict(name="kaldi.mfcc", options=mfcc_options, rows=rounded(mfcc)),
    dict(
        name="MelSpectrogram, slaney, area norm",
        options=dict(features="logMel", scale="slaney", areaNorm=True, preEmphasis=0, frameMs=32, mels=32),
        rows=rounded(slaney("slaney", 32)),
    ),
    dict(
        name="MelSpectrogram, slaney",
        options=dict(features="logMel", scale="slaney", preEmphasis=0, frameMs=32, mels=16),
        rows=rounded(slaney(None, 16)),
    ),
]
codes = bytes(range(256))
reference = dict(
    madeWith=f"torchaudio {torchaudio.__version__}, torch {torch.__version__}",
    sampleRateHz=RATE,
    samples=samples,
    cases=cases,
    # Row j is the slope at frame j - 4.
    mfccDeltas=rounded(once),
    muLaw=list(struct.unpack("<256h", audioop.ulaw2lin(codes, 2))),
    aLaw=list(struct.unpack("<256h", audioop.alaw2lin(codes, 2))),
)
path = pathlib.Path(__file__).parent / "reference.json"
path.write_text(json.dumps(reference, separators=(",", ":")) + "\n")
