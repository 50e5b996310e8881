"""Where things lie below a collection's root in the store. Every key is made here.

<root>/<collection>/
  runs/<run_id>/start/                 what one run found when it began, and what it may do
  runs/<run_id>/raw/<source>/          what it read of one source
  runs/<run_id>/plan/                  its frozen embedding plan
  runs/<run_id>/sample/                of a reindex campaign: how its encoder did on a sample
  runs/<run_id>/built-<fingerprint>/   of a reindex campaign: what it built, to be removed if it is refused
  runs/<run_id>/question               of a reindex campaign: a digest of the verdict that a person was asked about
  runs/<run_id>/result.json            what it did, for people and scripts
  documents/<fingerprint>/             clean documents and rejected rows of one source's reading
  snapshots/<fingerprint>/             the whole collection at one moment
  differences/<old>-<new>/             what changed from one snapshot to another
  checkpoints/<time>-<run_id>/         a snapshot that later runs may build on, and how far each source was read
  chunks/<fingerprint>/                its passages
  vectors/<encoder>/<part>/            content-addressed vectors, shared by all builds
  vectors/<encoder>/probe-<key>.npy    what a service that is verified by its first use made of the probe texts
  choices/<fingerprint>/               which index an index contract led to, and everything that was tried for it
  builds/<fingerprint>/                an index that several workers build: trained, and how its vectors are cut
  builds/<fingerprint>/shard-<n>/      one worker's part of it
  candidates/<fingerprint>/            a built index with everything a reader needs
  evaluations/<fingerprint>/           what was measured on a candidate
  comparisons/<fingerprint>/           a candidate and the live release, query by query
  drift/<time>-<run_id>/               how one run's documents and vectors differ from what was live
  reports/<run_id>/                    a candidate's report, for people (HTML) and scripts (JSON)
  releases/<release_id>/               a serving artifact, and signature.json where releases are signed
  serving.json                         what is live
  lease.json                           which run is at work
  reindex-lease.json                   which reindex campaign is at work
  audit/<generation>.json              one write-once record per change of serving.json
  decisions/<time>-<run_id>.json       one write-once record per approval and rejection of a candidate
  readers/<name>.json                  what a reader says of itself: which release it serves, and how that goes
  pins/<release_id>.json               a release that retention must keep, who said so and why
  backups/<release_id>.json            in a backup store: what was copied there, when and from where
  clock/<nonce>                        gone at once: it was written to see the store's time
  doctor/<nonce>/                      what slipway doctor tries the store with, while it does
"""

from __future__ import annotations

SERVING = "serving.json"
LEASE = "lease.json"
REINDEX_LEASE = "reindex-lease.json"
RUNS = "runs/"
GROUPS = "groups.json"  # within an embedding plan: the names of the vector parts that it will make
CHECKPOINTS = "checkpoints/"
RELEASES = "releases/"
SIGNATURE = "signature.json"  # within a release
AUDIT = "audit/"
CHOICES = "choices/"
EVALUATIONS = "evaluations/"
BUILDS = "builds/"
COMPARISONS = "comparisons/"
DRIFT = "drift/"
REPORTS = "reports/"
DECISIONS = "decisions/"
READERS = "readers/"
CLOCK = "clock/"
PINS = "pins/"
DOCTOR = "doctor/"
BACKUPS = "backups/"
BACKED_UP_COLLECTION = "collection"  # the name of a backup of everything, beside those of single releases


def start(run_id: str) -> str:
    """Place of what a run found when it began."""
    return f"runs/{run_id}/start"


def raw(run_id: str, source: str) -> str:
    """Place of what a run read of a source."""
    return f"runs/{run_id}/raw/{source}"


def plan(run_id: str) -> str:
    """Place of a run's embedding plan."""
    return f"runs/{run_id}/plan"


def shard_name(shard: int) -> str:
    """Name of a shard's part within an embedding plan."""
    return f"shard-{shard:05d}.parquet"


def sample(run_id: str) -> str:
    """Place of what a reindex campaign measured on a sample."""
    return f"{RUNS}{run_id}/sample"


def built(run_id: str, fingerprint: str) -> str:
    """Place of a reindex campaign's note on a candidate that it built."""
    return f"{RUNS}{run_id}/built-{fingerprint}"


def question(run_id: str) -> str:
    """Key of the digest of the verdict that a reindex campaign asked a person about first."""
    return f"{RUNS}{run_id}/question"


def result(run_id: str) -> str:
    """Key of a run's result."""
    return f"runs/{run_id}/result.json"


def documents(fingerprint: str) -> str:
    """Place of one source's clean documents."""
    return f"documents/{fingerprint}"


def snapshot(fingerprint: str) -> str:
    """Place of a snapshot."""
    return f"snapshots/{fingerprint}"


def difference(baseline: str | None, fingerprint: str) -> str:
    """Place of what changed from one snapshot (None: there was none) to another."""
    return f"differences/{baseline or 'none'}-{fingerprint}"


def checkpoint(at: str, run_id: str) -> str:
    """Place of a run's checkpoint, in the order of time. `at` is UTC, `20260131T021500Z`."""
    return f"{CHECKPOINTS}{at}-{run_id}"


def chunks(fingerprint: str) -> str:
    """Place of a snapshot's chunks."""
    return f"chunks/{fingerprint}"


def vectors(encoder: str) -> str:
    """Prefix of an encoder's vector parts."""
    return f"vectors/{encoder}"


def vector_part(encoder: str, part: str) -> str:
    """Place of one vector part."""
    return f"vectors/{encoder}/{part}"


def vector_probe(encoder: str, key: str) -> str:
    """Key of the vectors that an encoder's service made of the probe texts when it was first used.

    Within no place, so that maintenance and readers of parts pass it by. `key` names the texts.
    """
    return f"{vectors(encoder)}/probe-{key}.npy"


def is_vector_probe(key: str) -> bool:
    """Whether `vector_probe` makes such keys."""
    names = key.split("/")
    return len(names) == 3 and names[0] == "vectors" and names[2].startswith("probe-")


def choice(fingerprint: str) -> str:
    """Place of the index that a contract led to."""
    return f"{CHOICES}{fingerprint}"


def build(fingerprint: str) -> str:
    """Place of the beginning of an index that several workers build."""
    return f"{BUILDS}{fingerprint}"


def build_shard(fingerprint: str, shard: int) -> str:
    """Place of one worker's part of an index."""
    return f"{BUILDS}{fingerprint}/shard-{shard:05d}"


def candidate(fingerprint: str) -> str:
    """Place of a candidate."""
    return f"candidates/{fingerprint}"


def evaluation(fingerprint: str) -> str:
    """Place of an evaluation."""
    return f"{EVALUATIONS}{fingerprint}"


def comparison(fingerprint: str) -> str:
    """Place of a comparison of a candidate with the live release."""
    return f"{COMPARISONS}{fingerprint}"


def drift(at: str, run_id: str) -> str:
    """Place of what one run saw of drift, in the order of time. `at` is UTC, `20260131T021500Z`."""
    return f"{DRIFT}{at}-{run_id}"


def report(run_id: str) -> str:
    """Place of the report on a run's candidate."""
    return f"{REPORTS}{run_id}"


def decision(at: str, run_id: str) -> str:
    """Key of the record of an approval or a rejection. `at` is UTC, `20260131T021500Z`."""
    return f"{DECISIONS}{at}-{run_id}.json"


def release(release_id: str) -> str:
    """Place of a release."""
    return f"{RELEASES}{release_id}"


def signature(release_id: str) -> str:
    """Key of a release's signature."""
    return f"{release(release_id)}/{SIGNATURE}"


def audit(generation: int) -> str:
    """Key of the record of one change of serving.json."""
    return f"{AUDIT}{generation:08d}.json"


def reader(name: str) -> str:
    """Key of a reader's acknowledgement."""
    return f"{READERS}{name}.json"


def doctor(nonce: str) -> str:
    """Prefix below which one `slipway doctor` tries the store; it removes all of it."""
    return f"{DOCTOR}{nonce}"


def pin(release_id: str) -> str:
    """Key of the pin of a release."""
    return f"{PINS}{release_id}.json"


def clock(nonce: str) -> str:
    """Key of an object that is written to see the store's time."""
    return f"{CLOCK}{nonce}"


def backup(name: str) -> str:
    """Key of what a backup store says of one backup: `name` is a release's id, or `BACKED_UP_COLLECTION`."""
    return f"{BACKUPS}{name}.json"
