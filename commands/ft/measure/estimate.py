"""VAMANA.ESTIMATE: what an index would take in memory, before there is one."""
import native
from respserver.protocol.reply import Pairs, Simple
from respserver.registry import command

from .. import errors
from ..create_options import parse_create
from ..documents import DocumentTable
from ..errors import fail
from ..fields import CLASSES, VectorField
from ..options import Words
from ..sources import prepare_json
from ..specs import VectorSpec
from ..text.index import TextIndex
from .arguments import read_number, read_options

MOST_DOCUMENTS = 1 << 30
#: What is taken for granted about the documents where ASSUME says nothing: means, and how many different tags and terms there
#: are in all. TEXT_POSTINGS: different terms and stems of one document.
ASSUMED = {"KEY_BYTES": 16, "TAG_VALUES": 1000, "TAG_BYTES": 10, "TAGS_PER_DOCUMENT": 1, "TEXT_WORDS": 20, "TEXT_POSTINGS": 25,
           "TEXT_TERMS": 50_000, "TEXT_TERM_BYTES": 7, "VECTORS_PER_DOCUMENT": 1, "SORTABLE_BYTES": 16}


@command("VAMANA.ESTIMATE", arity=-5, group="search", since="8.10.0", flags="readonly", categories="read",
         summary="Says what memory an index would take: the number of documents, then the arguments of FT.CREATE",
         complexity="O(1)")
def vamana_estimate(client, n, *words):
    cursor = Words((n, *words))
    n_documents = read_number(cursor, "The number of documents", 1, MOST_DOCUMENTS)
    assumed = ASSUMED
    if cursor.match(b"ASSUME"):
        assumed = read_options(cursor.counted("ASSUME", 2), ASSUMED, lambda pairs, name: read_number(pairs, name, 0, 1 << 30))
    if not cursor:
        raise fail(errors.BAD_ARGUMENTS, "VAMANA.ESTIMATE", errors.TAIL_MISSING)
    name = cursor.next()
    options = parse_create(cursor.rest(), compressions=native.COMPRESSIONS)
    if options.on == "JSON":
        prepare_json(name, options.fields)
    try:
        return _reply(client.server, options, n_documents, assumed)
    except native.NativeError as error:
        raise fail(errors.ENGINE_REFUSED, error) from None


def _reply(server, options, n: int, assumed: dict) -> Pairs:
    documents = DocumentTable.bytes_of(n, assumed["KEY_BYTES"])
    text = TextIndex.bytes_of(n, assumed) if any(spec.type == "TEXT" and not spec.no_index for spec in options.fields) else 0
    total, originals = documents + text, 0
    most_training, most_retraining = 0, 0       # beyond what it takes afterwards
    fields = []
    for spec in options.fields:
        field = CLASSES[spec.type]
        pairs = [("attribute", Simple(errors.show(spec.name))), ("type", Simple(spec.type))]
        n_bytes = field.bytes_of(spec, n, assumed) + (field.sortable_bytes_of(n, assumed)
                                                      if spec.sortable and spec.type != "NUMERIC" else 0)
        if type(spec) is VectorSpec:
            parts = VectorField.parts_of(spec, n, 1 + server.search.turns.crew.threads, assumed)
            n_bytes = sum(parts[part] for part in native.PARTS)
            training, retraining = parts.pop("peak_training") - n_bytes, parts.pop("peak_retraining") - n_bytes
            most_training += training           # fields of one document come to their thresholds together
            most_retraining = max(most_retraining, retraining)
            place = "disk" if server.search.originals.is_on_disk(spec) else "memory"
            n_vectors = n * assumed["VECTORS_PER_DOCUMENT"] if spec.is_multi else n
            originals += n_vectors * spec.blob_size
            pairs += [("algorithm", Simple(spec.algorithm)), ("compression", Simple(spec.compression or "NO_COMPRESSION")),
                      ("bytes", n_bytes), ("bytes_per_vector", round(n_bytes / max(n_vectors, 1), 1)), *parts.items(),
                      ("peak_training", n_bytes + training), ("peak_retraining", n_bytes + retraining),
                      ("originals", Simple(place)), ("originals_bytes", n_vectors * spec.blob_size)]
        else:
            pairs.append(("bytes", n_bytes))
        total += n_bytes
        fields.append(_named(pairs))
    used = {name: value for name, value in assumed.items() if name == "KEY_BYTES" or _matters(name, options.fields)}
    return _named([("documents", n), ("bytes", total), ("bytes_per_document", round(total / n, 1)),
                   ("document_table", documents), ("text_index", text), ("peak_training", total + most_training),
                   ("peak_retraining", total + most_retraining), ("originals_bytes", originals), ("fields", fields),
                   ("assumed", _named(used.items()))])


def _matters(name: str, specs) -> bool:
    if name == "SORTABLE_BYTES":
        return any(spec.sortable and spec.type != "NUMERIC" for spec in specs)
    if name == "VECTORS_PER_DOCUMENT":
        return any(spec.type == "VECTOR" and spec.is_multi for spec in specs)
    return any(name.startswith(spec.type) and not spec.no_index for spec in specs)


def _named(pairs) -> Pairs:
    return Pairs([(Simple(name), value) for name, value in pairs])
