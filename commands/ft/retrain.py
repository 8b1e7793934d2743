"""Training again: VAMANA.RETRAIN, and the watch over drift that does it by itself.

A compressed field is trained again from the documents' own vectors, wherever they live: learned from a sample of them, then
given all, while searches, writes and deletions go on. What cannot be read any more is taken from the codes there are. The graph
stays; where the codes it was linked by were much worse, all of it is linked again."""
import json
import time
from collections.abc import Generator
from dataclasses import replace

import numpy as np

import native
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import OK
from respserver.registry import command

from . import errors
from .errors import fail
from .measure.arguments import find_field
from .options import Words, keyword
from .plan import refusal, row_array
from .specs import VectorSpec
from .vector_options import COMPRESSIONS, DEFAULT_TRAINING_THRESHOLD, REDUCTIONS

#: The drift score from which a field counts as drifted: distances are off by so many times what they were when it was trained.
#: New vectors of the old kind stay below 1.3 with every codec.
ALARM = 1.4
#: A field is trained again by itself when this share of its vectors is newer than its training, and at least so many.
NEW_SHARE, FEWEST_NEW = 0.1, 1024
#: Vectors per piece of work: read on the loop thread, encoded on another.
_PIECE = 128
#: The most vectors to learn from.
_MOST_SAMPLED = 50_000
#: Seconds between two looks at a training that ends in the background.
_LOOK = 0.01


@command("VAMANA.RETRAIN", arity=-3, group="search", since="8.10.0", flags="write no_multi", categories="write slow",
         summary="Trains the codes of a vector field again in the background, or changes its compression", complexity="O(N)")
def vamana_retrain(client, name, field_name, *words):
    index, field = find_field(client, name, field_name)
    spec = _next_spec(field.spec, Words(words))
    if field.engine.stats()["training"] == "running" or field.retraining is not None:
        raise CommandError(errors.RETRAIN_BUSY)
    if not field.engine.stats()["n_vectors"]:
        raise CommandError(errors.RETRAIN_EMPTY)
    start(client.server, index, field, spec, "VAMANA.RETRAIN")
    return OK


def _next_spec(spec: VectorSpec, cursor: Words) -> VectorSpec:
    """What the field is to be. Raises CommandError that names the argument."""
    names = {"NONE": None} | COMPRESSIONS | {name.upper(): name for name in native.COMPRESSIONS}
    compression, reduce, reduction = spec.compression, None, None
    while cursor:
        word = cursor.next()
        option = keyword(word)
        if option == b"COMPRESSION":
            given = keyword(cursor.next()).decode("utf-8", "replace") if cursor else ""
            if given not in names:
                raise fail(errors.RETRAIN_CHOICE,
                           "COMPRESSION", ", ".join(name or "NONE" for name in dict.fromkeys(names.values())))
            compression = names[given]
        elif option == b"REDUCE":
            reduce = cursor.integer("REDUCE", 1)
            if reduce > spec.dim:
                raise fail(errors.RETRAIN_REDUCE, spec.dim)
        elif option == b"REDUCTION":
            reduction = keyword(cursor.next()).decode("utf-8", "replace") if cursor else ""
            if reduction not in REDUCTIONS:
                raise fail(errors.RETRAIN_CHOICE, "REDUCTION", ", ".join(REDUCTIONS))
        else:
            raise fail(errors.MEASURE_ARGUMENT, word, "COMPRESSION, REDUCE, REDUCTION")
    if compression is None and spec.compression is None:
        raise CommandError(errors.RETRAIN_NOTHING)
    if compression is None and spec.dtype != "FLOAT32":
        raise CommandError(errors.RETRAIN_NONE)
    reduces = (compression or "").startswith("LeanVec")
    if not reduces and reduce is not None:
        raise fail(errors.VECTOR_REDUCE_ALONE)
    if not reduces and reduction is not None:
        raise fail(errors.VECTOR_REDUCTION_ALONE)
    threshold = None if compression is None else spec.training_threshold or DEFAULT_TRAINING_THRESHOLD
    return replace(spec, compression=compression, training_threshold=threshold,
                   reduce=(reduce or spec.reduce) if reduces else None,
                   reduction=(reduction or spec.reduction) if reduces else None)


def start(server, index, field, spec: VectorSpec, why: str) -> None:
    """Begins to train a field again as `spec` says. Nobody waits for it: the log, an event and FT.INFO tell how it went."""
    work = field.retraining = Retraining(server, index, field, spec, why)
    server.search.jobs.start(index, [field], work.run(), work.ended)


class Retraining:
    """One training of one field, from its documents."""

    def __init__(self, server, index, field, spec: VectorSpec, why: str):
        self.server, self.index, self.field, self.spec, self.why = server, index, field, spec, why
        self._started = time.monotonic()

    def run(self) -> Generator:
        """For a Job."""
        before, now = self.field.spec, self.spec
        tell(self.server, self.index, self.field, "retraining", why=self.why, compression=now.compression or "NONE")
        engine, has_begun = self.field.engine, False
        rows = row_array(self.index.docs.live).astype(np.int64)
        compression = None if now.compression == before.compression else now.compression or "NONE"
        reduction = now.reduction or ("PCA" if (now.compression or "").startswith("LeanVec") else None)
        try:
            sample = yield from self._sample(rows)
            has_begun = True                    # giving up what has not begun does no harm
            yield lambda: engine.retrain_begin(sample, reduction, compression, now.reduce)  # noqa: F821 (called before it goes)
            del sample
            for first in range(0, len(rows), _PIECE):
                labels, blobs = self._read(rows[first:first + _PIECE].tolist())
                if labels:
                    yield lambda labels=labels, blobs=blobs: engine.recode(labels, blobs)
            yield engine.retrain_end
            has_begun = False
            while engine.stats()["training"] == "running":
                yield lambda: time.sleep(_LOOK)
            self._take_effect()
            while engine.stats()["n_to_relink"]:
                yield lambda: time.sleep(_LOOK)
        except native.NativeError as error:
            raise refusal(error) from None
        finally:
            if has_begun and engine.stats()["training"] == "running":
                engine.retrain_end(True)

    def _sample(self, rows: np.ndarray) -> Generator:
        wanted = min(_MOST_SAMPLED, max(2 * (self.spec.training_threshold or 0), 1024), len(rows))
        chosen = np.sort(np.random.default_rng().choice(rows, wanted, replace=False))
        sample, n = np.empty(wanted * self.spec.blob_size, np.uint8), 0     # filled piece by piece: nobody waits for a large copy
        for first in range(0, wanted, _PIECE):
            blobs = self._read(chosen[first:first + _PIECE].tolist())[1][:len(sample) - n]
            sample[n:n + len(blobs)] = np.frombuffer(blobs, np.uint8)
            n += len(blobs)
            yield
        if not n:
            raise CommandError(errors.RETRAIN_EMPTY)
        return memoryview(sample[:n])

    def _read(self, rows: list[int]) -> tuple[list[int], bytes]:
        """The documents' own vectors: labels of the engine, and their bytes one after another."""
        if not self.field.spec.is_multi:
            blobs = self.field.rescorer.originals(rows)
            read = [(row, blob) for row, blob in zip(rows, blobs) if blob is not None]
            return [row for row, _ in read], b"".join([blob for _, blob in read])
        all_labels, all_blobs = self.field.engine.labels_of(rows), self.field.rescorer.all_originals(rows)
        pairs = [pair for labels, blobs in zip(all_labels, all_blobs) if len(labels) == len(blobs) for pair in zip(labels, blobs)]
        return [label for label, _ in pairs], b"".join([blob for _, blob in pairs])

    def _take_effect(self) -> None:
        field, index = self.field, self.index
        field.spec = index.schema[field.name] = self.spec
        field.rescorer.start_over()
        index.plans.clear()
        index.revision += 1

    def ended(self, result) -> None:
        """Takes down how it went."""
        self.field.retraining = None
        if isinstance(result, CommandError):
            tell(self.server, self.index, self.field, "retraining-failed", why=str(result))
        elif self.field.is_open:
            stats = self.field.engine.stats()
            tell(self.server, self.index, self.field, "retrained", compression=self.spec.compression or "NONE",
                 epoch=stats["n_epochs"], vectors=stats["n_vectors"], seconds=round(time.monotonic() - self._started, 3))


def watch(manager) -> None:
    """Looks whether fields have drifted since they were trained; to be called every few seconds. Says so once per training; with
    search-retrain auto trains those again of which enough is new."""
    is_auto = manager.server.config["search-retrain"] == "auto"
    for index in list(manager.indexes.values()):
        for field in index.vector_fields:
            if field.spec.compression is None or field.retraining is not None:
                continue
            stats = field.engine.stats()
            if stats["drift"] < ALARM or stats["training"] == "running":
                continue
            if field.alarmed_at != stats["n_epochs"]:
                field.alarmed_at = stats["n_epochs"]
                tell(manager.server, index, field, "drift", drift=round(stats["drift"], 3),
                     mean_shift=round(stats["mean_shift"], 3), epoch=stats["n_epochs"],
                     vectors_since_training=stats["n_since_training"])
                field.engine.recalibrate()
                field.rescorer.start_over()
            if is_auto and stats["n_since_training"] >= max(FEWEST_NEW, NEW_SHARE * stats["n_vectors"]):
                start(manager.server, index, field, field.spec, f"drift {stats['drift']:.2f}")


def tell(server, index, field, event: str, **details) -> None:
    """A line in the log, and a message on the channel __vamana__:<index>: JSON with the event, the field and the details."""
    name, field_name = index.name.decode("utf-8", "replace"), field.name.decode("utf-8", "replace")
    server.log.info("Vector index %s.%s: %s (%s)", name, field_name, event,
                    ", ".join(f"{key} {value}" for key, value in details.items()))
    message = json.dumps({"event": event, "index": name, "field": field_name, **details})
    server.pubsub.publish(b"__vamana__:" + index.name, message.encode())
