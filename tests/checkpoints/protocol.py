"""Why the names of jaxuq.checkpoints are no array functions, for tests/test_protocol.py."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {
    "BACKBONE_WEIGHTS": "a table of files",
    "LoadedBackbone": "a type",
    "TorchFile": "a type",
    "backbone_kinds": "gives strings",
    "convert_backbone": "reads and writes files",
    "load_backbone": "reads files",
    "read_torch_file": "reads files",
    "CheckpointError": "a type",
    "CheckpointWarning": "a type",
    "LoadedEncoder": "a type",
    "PackagedModel": "a type",
    "SmilesTokenizer": "a type",
    "StoredTensor": "a type",
    "SubwordTokenizer": "a type",
    "compare_names": "compares strings and shapes",
    "encoder_config": "makes a configuration",
    "encoder_digest": "reads files",
    "encoder_names": "gives strings",
    "Wheel": "a type",
    "fetch_packaged": "downloads files",
    "fill_array": "reads a file into a host array",
    "find_encoder": "finds files",
    "find_packaged": "finds files",
    "load_encoder": "reads files",
    "save_encoder": "writes files",
    "load_smiles_tokenizer": "reads files",
    "load_subwords": "reads files",
    "plain_tokens": "encodes strings",
    "read_json": "reads a file",
    "steering_tokens": "names tokens",
    "stored_tensors": "reads files",
}
