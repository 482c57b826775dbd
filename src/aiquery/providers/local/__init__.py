"""local: GGUF models in the process, through xllamacpp: the server of llama.cpp as a library.

A process loads a model file once, whatever the number of endpoints that name it. The ``task`` of the
endpoint decides what the model does.

chat: the model decodes ``slots`` requests at the same time, constrains replies to a JSON schema, and
reads what the prompts of a call begin with once. A reply that repeats itself is stopped and is the error
of its row. A reply that can only be one of a few values (``ai_classify``, ``ai_filter``, a BOOLEAN)
is not generated: the option ``choose_by`` says how the value is chosen.

embedding: pooling and normalization are the model's own. A text that is longer than the model's
limit is truncated there, and the run counts it.

rerank: a cross-encoder for ``ai_rerank``.

Options of the endpoint:

slots            requests that a chat model decodes at the same time (default: measured at first use). The endpoint's
                 ``context_window`` is that of one slot (default: 2048)
threads          default: measured at first use; for an embedding model half the cores, at least two
gpu_layers       layers on the GPU; 0: none. Default: all, or as many as fit; none of a BERT model in 32-bit floats,
                 which NumPy runs
choose_by        how one of a few values is chosen. embeddings: by the similarity of the text and the labels, with the
                 packaged all-minilm-l6-v2; token_probabilities: by the model's probability of each label;
                 generation: the model writes the label. Default: embeddings for smollm2-135m-instruct, else
                 token_probabilities
mmproj           the file of the model's image projector, as ``model``; with it the model reads images
lora             the files of LoRA adapters, as ``model``, separated by commas; ``file=0.5`` sets the scale
pooling          mean, cls, last or rank, for a file that does not name its own
query_prefix     put before a text to search with (``ai_embed(.., inputType => 'query')``)
document_prefix  put before any other text. Default of both: what the model was trained with, for nomic-embed, e5,
                 bge and qwen3-embedding
"""

from aiquery.providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
