"""Many machines: a Ray cluster whose nodes each have a daemon. Needs the extra `ray`.

    from sandboxd_client.ray import SandboxCluster

    with SandboxCluster.connect() as cluster:
        print(cluster.run("python", "print(6 * 7)").stdout)

Ray knows the nodes, starts an actor on each, and tells when one is lost. What runs
there, with which limits and in which queue, is the daemon's, as on one machine.
"""

from sandboxd_client.errors import SandboxError

try:
    from sandboxd_client.ray.cluster import SandboxCluster
    from sandboxd_client.ray.nodes import NodeStatus
    from sandboxd_client.ray.session import ClusterSession
    from sandboxd_client.ray.stream import ClusterStream
except ModuleNotFoundError as error:
    if error.name != "ray":
        raise
    raise SandboxError("ray is not installed: pip install 'sandboxd-client[ray]'") from None

__all__ = ["ClusterSession", "ClusterStream", "NodeStatus", "SandboxCluster"]
