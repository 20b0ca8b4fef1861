"""The tiny experiment of `made_up`, and a cache of its own."""

import uuid

import pytest
from made_up import experiment, write_corpus


@pytest.fixture(autouse=True, scope="module")
def _no_pictures(blank):
    """Write every report of these tests without its pictures."""


@pytest.fixture(autouse=True, scope="module")
def _computed_here(request):
    """Take no stage from another run, where it is how stages are computed that is tested."""
    import biasloop.loop

    if request.module.__name__ == "test_loop_reuse":
        yield
        return
    store = biasloop.loop.Store

    def unshared(*arguments, share=False):
        return store(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(biasloop.loop, "Store", unshared)
        yield


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "articles.jsonl")


@pytest.fixture(scope="session")
def tiny(corpus_file):
    return experiment(corpus_file)


@pytest.fixture(scope="session")
def bare(tiny):
    """The tiny experiment without what tests of how a run is kept have no need of."""
    return {
        **tiny,
        "loop": {**tiny["loop"], "bias_direction": "none"},
        "metrics": {**tiny["metrics"], "names": ["leaning"]},
        "neurons": {"sites": []},
    }


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def s3(monkeypatch):
    """An S3 server in this process; where it is, is in the environment, as for any user."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'biasloop[s3]'")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    import s3fs

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/runs/one"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()
