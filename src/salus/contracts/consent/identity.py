"""Is the reader who they say? What no pack, no rule of the patient and no emergency can lift."""

from salus.contracts.consent.pack import Pack
from salus.contracts.consent.policy import PolicySet
from salus.contracts.consent.purposes import BTG, PARENTS
from salus.contracts.consent.reasons import ReasonCode
from salus.contracts.consent.requests import ReadKind, ReadRequest
from salus.contracts.records.header import Bits
from salus.core.ids import TimeMs


def identity_fault(
    policy: PolicySet, packs: tuple[Pack, ...], request: ReadRequest, bits: Bits, at: TimeMs
) -> ReasonCode | None:
    """The first thing wrong with the reader, or None."""
    if request.purpose not in PARENTS:
        return ReasonCode.UNKNOWN_PURPOSE
    if request.kind is ReadKind.PATIENT:
        return _patient_fault(policy, request)
    if request.jurisdiction not in {pack.jurisdiction for pack in packs}:
        return ReasonCode.NO_PACK
    if request.kind is ReadKind.PROXY:
        return _proxy_fault(policy, request, bits, at)
    return _clinician_fault(packs, request)


def _patient_fault(policy: PolicySet, request: ReadRequest) -> ReasonCode | None:
    if policy.custodian is not None:
        return ReasonCode.CUSTODIAN_IS_NOT_PATIENT
    if request.purpose == BTG or request.handle not in {device.handle for device in policy.devices}:
        return ReasonCode.NOT_OWN_DEVICE
    return ReasonCode.HELD if request.held else None


def _proxy_fault(policy: PolicySet, request: ReadRequest, bits: Bits, at: TimeMs) -> ReasonCode | None:
    live = {proxy.handle for proxy in policy.proxies if proxy.until is None or at < proxy.until}
    if request.handle not in live:
        return ReasonCode.NOT_A_PROXY
    if request.purpose == BTG:
        return ReasonCode.NO_EMERGENCY_ROLE
    if request.held:  # A delay that a proxy could go around would delay nothing.
        return ReasonCode.HELD
    return ReasonCode.CLOSED_TO_PROXIES if bits & Bits.NO_PROXY else None


def _clinician_fault(packs: tuple[Pack, ...], request: ReadRequest) -> ReasonCode | None:
    if request.credential is None:
        return ReasonCode.NO_CREDENTIAL
    if request.purpose != BTG:
        return None
    if not all(any(role in pack.emergency_roles for role in request.roles) for pack in packs):
        return ReasonCode.NO_EMERGENCY_ROLE
    return None if request.reason.strip() else ReasonCode.NO_TYPED_REASON
