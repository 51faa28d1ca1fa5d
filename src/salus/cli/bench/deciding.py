"""`decide`: twenty rules of one patient on 1,000 distinct headers, as a keeper judges a whole record.

Cold: the policy is compiled and every header judged for the first time. Memoised: the same reader asks again. Both
must answer what `decide` answers afresh. Floor: reading the same headers from their bytes.
"""

import random
from datetime import date

from salus.cli.bench.figures import RUNS_MIN, Figure, Options, Outcome, Stopwatch, at_most, median_ms, percentiles
from salus.cli.bench.stage import JURISDICTION, TREAT, sample_documents
from salus.contracts.consent import (
    ANYONE,
    ClearRule,
    Decider,
    Decision,
    Effect,
    PolicySet,
    ReadKind,
    ReadRequest,
    decide,
)
from salus.contracts.consent import Reader as Who
from salus.contracts.records.header import Header, RecordId
from salus.core.ids import ChainId, FhirType, MemberId, Purpose, TimeMs
from salus.core.wire import encode, reopen, replace
from salus.crypto.digests import blind
from salus.node.folder import USUAL_NAMES
from salus.sdk.packs import shipped_pack
from salus.sdk.wallet import Wallet, new_wallet

NAME = "decide"
TARGETS = {"cold_p95_ms": at_most(25), "memoised_p95_ms": at_most(2)}
HEADERS = 1_000
RULES = 20
_NOW: TimeMs = 1_770_000_000_000
_SEED = 7
_AUTHORS = tuple(MemberId(name) for name in USUAL_NAMES[:4])
_READER = _AUTHORS[1]


def measure(options: Options) -> Outcome:
    """Needs no folder: nothing here touches a disk."""
    runs = 3 if options.short else 2 * RUNS_MIN
    wallet = _wallet()
    policy, headers = wallet.policy(0, bytes(32)), _headers(wallet)
    packs, places = {JURISDICTION: shipped_pack(JURISDICTION)}, dict.fromkeys(_AUTHORS, JURISDICTION)
    request = _request()
    cold, memoised = Stopwatch(), Stopwatch()
    decisions: list[Decision] = []
    for _ in range(runs + 1):
        with cold.lap():
            decider = Decider(policy, packs, places)
            decisions = decider.decide_all(request, headers, _NOW)
        with memoised.lap():
            again = decider.decide_all(request, headers, _NOW)
        assert again == decisions, "What is remembered differs."
    _check_afresh(policy, request, headers, decisions)
    data = [encode(header) for header in headers]
    permitted = sum(decision.permitted for decision in decisions)
    figures: dict[str, Figure] = {"rules": len(policy.rules), "headers": len(headers), "permitted": permitted}
    figures |= percentiles("cold", cold.samples_ms[1:]) | percentiles("memoised", memoised.samples_ms[1:])
    floors: dict[str, Figure] = {"decode_p50_ms": median_ms(lambda: [reopen(Header, one) for one in data], runs)}
    return Outcome(NAME, figures, TARGETS, floors)


def _check_afresh(policy: PolicySet, request: ReadRequest, headers: list[Header], decisions: list[Decision]) -> None:
    packs = (shipped_pack(JURISDICTION),)
    fresh = [decide(policy, packs, request, header, _NOW) for header in headers]
    assert fresh == decisions, "What is compiled differs from what is computed afresh."


def _wallet() -> Wallet:
    wallet = new_wallet(ChainId("bench"), bytes(16), JURISDICTION, _AUTHORS)
    return replace(wallet, seed=bytes(32), cell=bytes(16), handle_salt=bytes(32), rules=_rules())


def _rules() -> tuple[ClearRule, ...]:
    """Twenty rules as people make them: a broad permit, labels and years kept back, who pays, single codes."""
    own_team = Who(member=_READER)
    said = [
        ClearRule(bytes(16), Effect.PERMIT, (own_team,), (TREAT,), data_since=date(2010, 1, 1)),
        ClearRule(bytes(16), Effect.PERMIT, (own_team,), (TREAT,), terms=(("label:SUD",),)),
        ClearRule(bytes(16), Effect.DENY, (ANYONE,), (Purpose("HRESCH"),)),
        ClearRule(bytes(16), Effect.DENY, (own_team,), terms=(("label:PSY",), ("confidentiality:R",))),
        ClearRule(
            bytes(16),
            Effect.PERMIT,
            (ANYONE,),
            (Purpose("HPAYMT"),),
            fhir_types=(FhirType("Claim"), FhirType("Coverage")),
        ),
    ]
    codes = sorted({term for document in sample_documents() for term in document.terms if term.startswith("code:")})
    step = len(codes) // (RULES - len(said))
    for number in range(RULES - len(said)):
        effect = Effect.DENY if number % 3 == 0 else Effect.PERMIT
        author = (_AUTHORS[number % len(_AUTHORS)],)
        terms = (tuple(codes[number * step : number * step + 2]),)
        year = 1990 + number
        said.append(ClearRule(bytes(16), effect, (own_team,), (TREAT,), terms, date(year, 3, 1), None, (), author))
    return tuple(replace(rule, rule_id=number.to_bytes(16, "big")) for number, rule in enumerate(said, 1))


def _headers(wallet: Wallet) -> list[Header]:
    """Headers of the sample's documents by four authors in turn, each with a term that no other has."""
    drawn = random.Random(_SEED)
    documents = sample_documents()
    headers = []
    for number in range(HEADERS):
        document, author = documents[number % len(documents)], _AUTHORS[number % len(_AUTHORS)]
        key = wallet.term_key(author)
        words = [*document.terms, f"code:bench|{number}"]
        words += [f"padding:{place}" for place in range(-len(words) % 8)]
        headers.append(
            Header(
                subject=wallet.subject,
                record=RecordId(author, drawn.randbytes(16), number % 1024),
                replaces=None,
                blobs=(drawn.randbytes(32),),
                size_bytes=len(document.data),
                key_com=drawn.randbytes(32),
                fhir_type=document.fhir_type,
                terms=tuple(sorted(blind(key, word) for word in words)),
                explicit=tuple(blind(key, word) for word in document.explicit),
                bits=document.bits,
            )
        )
    return headers


def _request() -> ReadRequest:
    return ReadRequest(
        member=_READER,
        roles=("clinician",),
        credential=bytes(16),
        jurisdiction=JURISDICTION,
        kind=ReadKind.CLINICIAN,
        handle=None,
        purpose=TREAT,
    )
