"""People at a member: a credential binds their key, and ends for good."""

from pathlib import Path

import pytest

from salus.contracts.credentials.reads import credential_of, is_active
from salus.sdk.errors import LedgerRefusedError, NoSuchSubjectError
from salus.sdk.people import dismiss, employ
from tests.node.stage import stage


async def test_a_person_is_employed_with_a_key_of_their_own_and_dismissed_once(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        gateway = on["mercy"].gateway
        person = await employ(gateway, "clinician", ("nurse", "clinician"))
        state = on["mercy"].replica.state
        assert person.claims.roles == ("clinician", "nurse")
        assert person.claims.key == person.key.public
        assert is_active(state, person.credential_id, gateway.view.time)
        await dismiss(gateway, person.credential_id)
        assert not is_active(on["mercy"].replica.state, person.credential_id, gateway.view.time)
        assert credential_of(on["mercy"].replica.state, person.credential_id) is not None
        with pytest.raises(LedgerRefusedError):
            await dismiss(gateway, person.credential_id)


async def test_nobody_cannot_be_dismissed_nor_another_members_people(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        with pytest.raises(NoSuchSubjectError):
            await dismiss(on["mercy"].gateway, bytes(16))
        person = await employ(on["st-luke"].gateway, "clinician", ())
        await on.settled()
        with pytest.raises(LedgerRefusedError):
            await dismiss(on["mercy"].gateway, person.credential_id)
