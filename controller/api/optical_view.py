"""The optical layer by the standard's models, to be read (RFC 7951 JSON, media type of RFC 8040)."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from controller.api.use_cases import CorridorService


class YangData(JSONResponse):
    """Instance data of YANG modules."""

    media_type = "application/yang-data+json"


def optical_views(service: CorridorService) -> APIRouter:
    """`/v1/otn`."""
    router = APIRouter(prefix="/v1/otn", tags=["otn"], default_response_class=YangData)

    @router.get("/topology")
    async def get_otn_topology() -> YangData:
        """OTN nodes, and each direction of every fibre with its slots (ietf-fgotn-topology on ietf-te-topology)."""
        return YangData(await service.get_otn_topology())

    @router.get("/tunnels")
    async def get_otn_tunnels() -> YangData:
        """Trails and slices with their labels hop by hop (ietf-fgotn-tunnel on ietf-te)."""
        return YangData(await service.get_otn_tunnels())

    return router
