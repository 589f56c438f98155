"""Trained molecular networks that come inside packages of the index: ADMET-AI's two ensembles of D-MPNNs."""

from jaxuq.checkpoints.packages import PackagedModel, Wheel

_FOLDER = "admet_ai/resources/models"


def _admet(kind: str, size: int, tasks: int, *digests: str) -> PackagedModel:
    return PackagedModel(
        name=f"admet-{kind}",
        title=f"ADMET-AI 2, five D-MPNNs for {kind} of {tasks} properties",
        wheels=(
            Wheel(
                "admet-ai",
                "2.0.1",
                "admet_ai-2.0.1-py3-none-any.whl",
                "fef3527f637abb00d272cf824e8eef0136fe31ebde6c56881f1a8c02c0417806",
            ),
        ),
        member=f"{_FOLDER}/admet_{kind}/model_0.pt",
        sha256=digests[0],
        size=size,
        license="MIT",
        companions=tuple((f"model_{number}.pt", digest) for number, digest in enumerate(digests) if number),
    )


BACKBONE_WEIGHTS: dict[str, PackagedModel] = {
    info.name: info
    for info in (
        _admet(
            "classification",
            1320249,
            31,
            "9a5fb298a6564e8ef739890c90b02e831521073f49eefd2310fb56cdb61a2378",
            "2bf047553eef397060af376e78dd4e990114df8428e05f734c4e4aca284280ca",
            "0e9d7eb3ff0b53bd2f20e43a75e0872c682b0ee27059dd50735c416d97a3fd24",
            "4b35cb5686f23c6e3e5a4c587a5c4dd79b7f1f46be26684260c0b78366145d58",
            "9fdac559e3058b5f7b03780f9c696223d27adb94c78f9eb9aba6154e2dbff492",
        ),
        _admet(
            "regression",
            1300041,
            10,
            "c709dc4526dc7f6cf39cea64190f63adbb2b95e280d34582c492fc53da64a1a4",
            "57e8011a180cddf8acf66f94f5b123023c3fed503e3870a2f3f6f5300a7f3c82",
            "05e8509fea4ddc4686c521d75ee2fe770113cb93f09a849a6378b0a0e3ce113e",
            "04b265ff444190247b159932ab2225afc844bae9552299bf1ddf99b336c28d71",
            "b58c76493744edfb022e50e531a8ad82453bdf543c2195d878ecfd248795c7c8",
        ),
    )
}
"""By the name that `jaxuq models fetch` takes; the other members lie beside the first."""
