"""Speaks to a server with the real tritonclient: `triton_client.py HTTP_ADDRESS GRPC_ADDRESS`, which serves the probe as "probe".

What a sequence should answer comes from the server too, but in one request without an id, which runs alone. Prints one line per check, and
exits with 1 where one failed.
"""

import asyncio
import queue
import sys
import traceback

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

HTTP, GRPC = sys.argv[1:3]
NEAR = [1706549649780891136, 1706549649780891200]
MISSING_START = "must specify the START flag on the first request of the sequence"


def tensor(module, values, binary=True):
    data = np.array(values, dtype=np.float32).reshape(1, -1, 1)
    made = module.InferInput("input", list(data.shape), "FP32")
    if module is httpclient:
        made.set_data_from_numpy(data, binary_data=binary)
    else:
        made.set_data_from_numpy(data)
    return [made]


class Side:
    """One protocol: `infer(values, sequence_id=...)` gives rows of outputs."""

    def __init__(self, name, module, client):
        self.name, self.module, self.client = name, module, client

    def infer(self, values, **options):
        return self.result(values, **options).as_numpy("output")[0]

    def result(self, values, **options):
        return self.client.infer("probe", tensor(self.module, values), **options)

    def alone(self, values):
        return self.infer(values)

    def refused(self, values, **options):
        try:
            self.infer(values, **options)
        except InferenceServerException as error:
            return error.message()
        raise AssertionError("it was not refused")


CHECKS = []


def check(work):
    CHECKS.append(work)
    return work


def same(got, expected):
    assert got.shape == expected.shape and (got == expected).all(), f"{got} is not {expected}"


@check
def facts(side):
    client = side.client
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("probe")
    metadata, model = client.get_server_metadata(), client.get_model_metadata("probe")
    config, statistics = client.get_model_config("probe"), client.get_inference_statistics("probe")
    index = client.get_model_repository_index()
    if side.module is grpcclient:
        assert "sequence(string_id)" in metadata.extensions and model.inputs[0].name == "input"
        assert config.config.max_batch_size == 1 and config.config.HasField("sequence_batching")
        assert statistics.model_stats[0].name == "probe" and index.models[0].state == "READY"
    else:
        assert "sequence(string_id)" in metadata["extensions"] and model["inputs"][0]["name"] == "input"
        assert config["max_batch_size"] == 1 and "sequence_batching" in config
        assert statistics["model_stats"][0]["name"] == "probe" and index[0]["state"] == "READY"


@check
def integer_and_text_ids(side):
    ids = [*NEAR, str(NEAR[0]), "dev-ä-1"]
    for i, id in enumerate(ids):
        side.infer([i], sequence_id=id, sequence_start=True)
    for i, id in enumerate(ids):
        same(side.infer([9], sequence_id=id, sequence_end=True), side.alone([i, 9])[1:])


@check
def missing_start(side):
    text = side.refused([1], sequence_id=4711)
    assert MISSING_START in text and "for sequence 4711 to model 'probe'" in text, text
    side.infer([1], sequence_id=4711, sequence_start=True, sequence_end=True)
    assert MISSING_START in side.refused([2], sequence_id=4711)


@check
def start_of_a_live_sequence(side):
    side.infer([1], sequence_id=99, sequence_start=True)
    same(side.infer([2], sequence_id=99, sequence_start=True), side.alone([2]))
    same(side.infer([3], sequence_id=99, sequence_end=True), side.alone([2, 3])[1:])


@check
def request_id_and_wanted_outputs(side):
    wanted = [side.module.InferRequestedOutput("output")]
    result = side.result([1], request_id="r-1", outputs=wanted)
    response = result.get_response()
    assert (response.id if side.module is grpcclient else response["id"]) == "r-1"
    assert result.as_numpy("output").shape == (1, 1, 2)


@check
def own_parameters(side):
    first = side.infer([1], sequence_id="own", sequence_start=True, parameters={"ostinato_seq": 1})
    second = side.infer([2], sequence_id="own", parameters={"ostinato_seq": 2})
    same(side.infer([2], sequence_id="own", parameters={"ostinato_seq": 2}), second)
    same(np.concatenate([first, second]), side.alone([1, 2]))


@check
def errors_are_exceptions(side):
    for values, options in [([], {}), ([float("inf")], {}), ([1], {"model_version": "7"})]:
        side.refused(values, **options)
    try:
        side.client.get_model_metadata("none")
        raise AssertionError("an unknown model was known")
    except InferenceServerException as error:
        assert "unknown model" in error.message().lower()


def json_tensors():
    side = Side("http", httpclient, httpclient.InferenceServerClient(HTTP))
    wanted = [httpclient.InferRequestedOutput("output", binary_data=False)]
    result = side.client.infer("probe", tensor(httpclient, [1, 2], binary=False), outputs=wanted)
    same(result.as_numpy("output")[0], side.alone([1, 2]))


def stream():
    client = grpcclient.InferenceServerClient(GRPC)
    side = Side("grpc", grpcclient, client)
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("probe", tensor(grpcclient, [0]), sequence_id=31337)
    result, error = answers.get(timeout=30)
    assert result is None and MISSING_START in error.message()
    ids = ["dev-ä-1", *NEAR]
    for t in range(20):
        for i, id in enumerate(ids):
            client.async_stream_infer(
                "probe",
                tensor(grpcclient, [i * 100 + t]),
                request_id=f"{i}/{t}",
                sequence_id=id,
                sequence_start=t == 0,
                sequence_end=t == 19,
            )
    seen = {i: [] for i in range(len(ids))}
    for _ in range(20 * len(ids)):
        result, error = answers.get(timeout=30)
        assert error is None, error
        i, t = map(int, result.get_response().id.split("/"))
        assert t == len(seen[i]), "answers of a sequence are out of order"
        seen[i].append(result.as_numpy("output")[0][0])
    client.stop_stream()
    for i, rows in seen.items():
        same(np.array(rows), side.alone([i * 100 + t for t in range(20)]))


def asynchronous():
    async def run():
        async with grpcaio.InferenceServerClient(GRPC) as client:
            for t in range(5):
                result = await client.infer(
                    "probe", tensor(grpcclient, [t]), sequence_id=55, sequence_start=t == 0, sequence_end=t == 4
                )
            return result.as_numpy("output")[0]

    side = Side("grpc", grpcclient, grpcclient.InferenceServerClient(GRPC))
    same(asyncio.run(run()), side.alone(range(5))[4:])


def main():
    sides = [
        Side("http", httpclient, httpclient.InferenceServerClient(HTTP)),
        Side("grpc", grpcclient, grpcclient.InferenceServerClient(GRPC)),
    ]
    work = [(f"{side.name} {one.__name__}", lambda one=one, side=side: one(side)) for side in sides for one in CHECKS]
    work += [(one.__name__, one) for one in (json_tensors, stream, asynchronous)]
    failed = 0
    for name, one in work:
        try:
            one()
            print(f"ok {name}")
        except Exception:
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}")
    return 1 if failed else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
