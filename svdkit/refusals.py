"""Why a checkpoint cannot be had, in words that say what to do."""

import errno
import re
from pathlib import Path

from .paths import shown

STORAGE_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
SET_A_TOKEN = """\
Set your token (made at https://huggingface.co/settings/tokens) and load again:
  Colab:   the key symbol on the left, "Add new secret", name HF_TOKEN, and let the notebook read it
  Kaggle:  Add-ons > Secrets > HF_TOKEN, then
           os.environ["HF_TOKEN"] = kaggle_secrets.UserSecretsClient().get_secret("HF_TOKEN")
  Jupyter: from huggingface_hub import login; login()
  shell:   export HF_TOKEN=hf_…      or: hf auth login"""


def damaged(folder: Path, why: str) -> OSError:
    """Make the error for a checkpoint that is there and cannot be read.

    >>> str(damaged(Path("mine"), "no unet")).splitlines()[1]
    "Delete 'mine' and copy it there once more."
    """
    # …/models--owner--name/snapshots/<commit>: what to delete is the repository's whole folder
    in_cache = folder.parent.name == "snapshots"
    whole = folder.parent.parent if in_cache else folder
    again = "load again: it downloads anew" if in_cache else "copy it there once more"
    return OSError(
        f"The checkpoint in {shown(folder)!r} is damaged or incomplete: {why}\n"
        f"Delete {shown(whole)!r} and {again}."
    )


def teaching(repo: str, error: Exception, hint: str) -> Exception:
    """Turn any failure of the hub into an error that says what to do."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    page = f"https://huggingface.co/{repo}"
    if not re.fullmatch("[!-~]*", get_token() or ""):  # else whoever refuses it quotes it
        return PermissionError(f"Your token holds a sign that no token has. {SET_A_TOKEN}")
    if isinstance(error, GatedRepoError):
        if get_token():
            return PermissionError(
                f"{repo} is gated, and your token's account has not been let in. Accept its terms "
                f"at {page} with that account; if it is a fine-grained token, allow it to read "
                "gated repositories."
            )
        return PermissionError(
            f"{repo} is gated: it needs an account that accepted its terms, and a token.\n"
            f"Accept the terms at {page}. {SET_A_TOKEN}"
        )
    if status in (401, 403) and not isinstance(error, RepositoryNotFoundError):
        return PermissionError(
            f"The hub refused your token for {repo} (status {status}): it is mistyped, expired or "
            f"not allowed to read. {SET_A_TOKEN}"
        )
    if isinstance(error, OSError) and error.errno in STORAGE_TROUBLES:
        return OSError(
            error.errno,
            f"{repo} cannot be kept in {shown(constants.HF_HUB_CACHE)!r} ({error.strerror}); make "
            "room or allow writing there, or set HF_HOME to another folder.",
        )
    if isinstance(error, RepositoryNotFoundError):
        return ValueError(
            f"There is no {repo!r} on the hub, or it is private and no token of yours opens it."
            f"{hint} Look for it at {page}."
        )
    why = (shown(error).splitlines() or ["no answer"])[0]
    why = re.sub(r"(https?://[^\s?]+)\?[^\s'\"]+", r"\1", why)  # a signed address is a key
    return ConnectionError(
        f"The hub cannot be asked for {repo}, and it is not in the cache "
        f"({type(error).__name__}: {why}). "
        f"Connect{', and unset HF_HUB_OFFLINE' if constants.HF_HUB_OFFLINE else ''}; 'tiny' needs "
        "no network."
    )
