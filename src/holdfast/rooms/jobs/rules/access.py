"""Who may see a job."""


def may_see(owner: str, tenant: str, user_id: str, caller_tenant: str) -> bool:
    """Whether the caller, as the edge identified it, may see the job of this owner and tenant.

    A job of a user is that user's; one of a tenant alone is everybody's in that tenant; one of nobody is seen
    by whoever knows its id, which nobody can guess. Of two tenants' users of one name each sees its own.
    """
    if tenant and tenant != caller_tenant:
        return False
    return not owner or owner == user_id
