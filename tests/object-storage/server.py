# An S3 server on loopback: moto, which checks the signature of each request against the keys of a user of its own.
# It says `listening on PORT KEY-ID SECRET`; then it takes commands, one JSON array a line, and answers each with one JSON
# value: `["put", key, text]`, `["list", prefix]`, `["uploads"]`, `["begin", key]` (an upload that nobody completes),
# `["parquet", key]` (rows and types as Apache Arrow reads them),
# `["write-parquet", key, rows, group, letters]` (a file as Apache Arrow writes it, its names of so many letters that do
# not pack; of few that do where that is 0). It ends when its standard input ends.
#
# The user and its keys are made up.

import base64, io, json, logging, random, sys

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from moto import settings
from moto.server import ThreadedMotoServer

logging.getLogger('werkzeug').setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
endpoint = f'http://127.0.0.1:{port}'


def client(service, key='first', secret='first'):
    return boto3.client(service, endpoint_url=endpoint, region_name='eu-north-1', aws_access_key_id=key,
                        aws_secret_access_key=secret)


everything = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}
iam = client('iam')
iam.create_user(UserName='sluice')
iam.put_user_policy(UserName='sluice', PolicyName='all', PolicyDocument=json.dumps(everything))
keys = iam.create_access_key(UserName='sluice')['AccessKey']
s3 = client('s3', keys['AccessKeyId'], keys['SecretAccessKey'])
s3.create_bucket(Bucket='exports', CreateBucketConfiguration={'LocationConstraint': 'eu-north-1'})
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
print(f"listening on {port} {keys['AccessKeyId']} {keys['SecretAccessKey']}", flush=True)


def every(prefix):
    pages = s3.get_paginator('list_objects_v2').paginate(Bucket='exports', Prefix=prefix)
    return [found['Key'] for page in pages for found in page.get('Contents', [])]


def body(key):
    return s3.get_object(Bucket='exports', Key=key)['Body'].read()


def plain(value):
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value) if value is not None else None


def parquet(key):
    file = pq.ParquetFile(io.BytesIO(body(key)))
    rows = [{name: plain(value) for name, value in row.items()} for row in file.read().to_pylist()]
    columns = [file.schema.column(at) for at in range(len(file.schema))]
    types = {column.name: f'{column.physical_type} {column.logical_type}' for column in columns}
    return {'rows': rows, 'types': types}


def write_parquet(key, rows, group, letters):
    names = [random.randbytes(letters // 2).hex() if letters else f'name {at % 7}' for at in range(rows)]
    columns = {'id': pa.array(range(rows), pa.int64()), 'name': pa.array(names)}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=group)
    s3.put_object(Bucket='exports', Key=key, Body=file.getvalue())
    return len(file.getvalue())


def uploads():
    return [upload['Key'] for upload in s3.list_multipart_uploads(Bucket='exports').get('Uploads', [])]


commands = {
    'put': lambda key, text: s3.put_object(Bucket='exports', Key=key, Body=text.encode()) and None,
    'list': every,
    'uploads': uploads,
    'begin': lambda key: s3.create_multipart_upload(Bucket='exports', Key=key) and None,
    'parquet': parquet,
    'write-parquet': write_parquet,
}
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(commands[name](*arguments)), flush=True)
