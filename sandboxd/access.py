"""Who an owner is to the operator: users and groups by the names of this machine."""

from __future__ import annotations

import grp
import os
import pwd

from sandboxd.config import AccessConfig, Config, QuotaConfig

_ROOT = 0
_DEFAULT = "default"


def names_of(uid: int) -> list[str]:
    """What an owner may be called: its uid, its name, and its groups as "@name"."""
    names = [str(uid)]
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return names
    names.append(user.pw_name)
    for gid in os.getgrouplist(user.pw_name, user.pw_gid):
        try:
            names.append("@" + grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return names


def may_use(access: AccessConfig, uid: int) -> bool:
    """Whether an owner may use the daemon at all."""
    if uid == _ROOT or not (access.allow or access.deny):
        return True
    names = set(names_of(uid))
    if names & {str(each) for each in access.deny}:
        return False
    return not access.allow or bool(names & {str(each) for each in access.allow})


def quota_of(config: Config, uid: int) -> QuotaConfig:
    """The owner's own quota, or else its group's, or else everybody's."""
    if config.quotas:
        for name in (*names_of(uid), _DEFAULT):
            if name in config.quotas:
                return config.quotas[name]
    return QuotaConfig()
