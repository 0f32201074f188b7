"""No known way leads out of a container; each wall in it is the one that holds.

On any machine every attack is made and must fail. In the lab VM, which exists for it,
the walls are taken away: without them all the attack succeeds, so it is a real one;
with any one of them put back it fails, so each is a real wall.
"""

from __future__ import annotations

import pytest

from tests.escapes import amounts, files, kernel_files, our_programs, processes
from tests.escapes.book import Attack
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle

ATTACKS = (
    *files.ATTACKS,
    *kernel_files.ATTACKS,
    *processes.ATTACKS,
    *amounts.ATTACKS,
    *our_programs.ATTACKS,
)
WALLS = [(attack, wall) for attack in ATTACKS for wall in attack.walls]

every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=str)


@every_attack
def test_no_attack_succeeds(attack: Attack, bundle: Bundle, outside: Outside) -> None:
    assert not attack.succeeds(bundle, outside)


@every_attack
def test_without_its_walls_it_does(
    attack: Attack, bundle: Bundle, outside: Outside, in_the_lab_vm: None
) -> None:
    for take_away in attack.walls.values():
        take_away(bundle)
    assert attack.out(bundle, outside)


@pytest.mark.parametrize(
    ("attack", "wall"), WALLS, ids=[f"{attack}-{wall}" for attack, wall in WALLS]
)
def test_each_wall_holds_alone(
    attack: Attack,
    wall: str,
    bundle: Bundle,
    outside: Outside,
    in_the_lab_vm: None,
) -> None:
    for name, take_away in attack.walls.items():
        if name != wall:
            take_away(bundle)
    assert not attack.succeeds(bundle, outside)
